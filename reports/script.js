"use strict";
(function () {
  var body = document.body, text = body.dataset;
  var when = document.getElementById("when");
  if (when && when.dateTime) {
    var at = new Date(when.dateTime);
    if (!isNaN(at)) when.after(" (" + text.local + " " + at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" }) + ")");
  }
  var stale = document.getElementById("stale");
  if (stale && Date.now() > Date.parse(stale.dataset.due)) stale.hidden = false;

  var words = [], rows = [], box, count;
  function plain(s) { return s.toLowerCase().replace(/\s+/g, " "); }
  function filter(q) {
    words = plain(q).trim().split(" ").filter(Boolean);
    var shown = 0;
    rows.forEach(function (row) {
      var ok = words.every(function (w) { return row.words.indexOf(w) >= 0; });
      row.tr.hidden = !ok;
      if (ok) shown++;
    });
    count.textContent = shown + " / " + rows.length + " " + text.count;
  }
  function fromHash() {
    var h = location.hash;
    if (h.slice(0, 3) !== "#q=") return;
    var q = h.slice(3);
    try { q = decodeURIComponent(q); } catch (e) { /* shown as it is */ }
    box.value = q;
    filter(q);
  }
  var tables = document.querySelectorAll("table[data-tools]");
  if (!tables.length) return;
  tables.forEach(function (table) {
    Array.prototype.forEach.call(table.tBodies[0].rows, function (tr) {
      rows.push({ tr: tr, words: plain(tr.textContent) });
    });
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (th, n) {
      var b = document.createElement("button");
      b.type = "button";
      b.className = "sort";
      b.append.apply(b, Array.prototype.slice.call(th.childNodes));
      th.append(b);
      b.addEventListener("click", function () {
        var down = th.getAttribute("aria-sort") === "ascending";
        Array.prototype.forEach.call(table.tHead.rows[0].cells, function (o) { o.removeAttribute("aria-sort"); });
        th.setAttribute("aria-sort", down ? "descending" : "ascending");
        var list = Array.prototype.map.call(table.tBodies[0].rows, function (tr) { return [tr.cells[n] ? tr.cells[n].textContent.trim() : "", tr]; });
        list.sort(function (a, b) { return a[0].localeCompare(b[0], undefined, { numeric: true }) * (down ? -1 : 1); });
        list.forEach(function (x) { table.tBodies[0].append(x[1]); });
      });
    });
  });
  var bar = document.createElement("form"), label = document.createElement("label");
  bar.className = "bar";
  bar.setAttribute("role", "search");
  label.textContent = text.filter;
  box = document.createElement("input");
  box.type = "search";
  box.id = "filter";
  label.htmlFor = "filter";
  count = document.createElement("output");
  count.htmlFor = "filter";
  bar.append(label, box, count);
  bar.addEventListener("submit", function (e) { e.preventDefault(); });
  var place = document.getElementById("h-matrix");
  (place ? place.parentNode : document.getElementById("main")).before(bar);
  box.addEventListener("input", function () {
    filter(box.value);
    try { history.replaceState(null, "", box.value ? "#q=" + encodeURIComponent(box.value) : "#"); } catch (e) { /* some viewers forbid it */ }
  });
  addEventListener("hashchange", fromHash);
  addEventListener("beforeprint", function () { document.querySelectorAll("details").forEach(function (d) { d.open = true; }); });
  filter("");
  fromHash();
})();
