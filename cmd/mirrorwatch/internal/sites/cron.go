package sites

import (
	"strconv"
	"strings"
	"time"
)

// Cron is a crontab time: five fields, as crontab(5) reads them. The zero value never comes due.
type Cron struct {
	text                           string
	minute, hour, day, month, week uint64
	dayStar, weekStar              bool
}

const wantCron = `five fields "minute hour day month weekday", like "17 * * * *"`

var cronNames = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
	"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

var (
	monthNames = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	dayNames   = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// ParseCron reads five fields with lists, ranges, steps and English three-letter names, or @hourly and its like.
func ParseCron(s string) (Cron, error) {
	text := strings.TrimSpace(s)
	if strings.HasPrefix(text, "@") {
		full, ok := cronNames[strings.ToLower(text)]
		if !ok {
			return Cron{}, bad(wantCron, "%q is no schedule", s)
		}
		text = full
	}
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return Cron{}, bad(wantCron, "%q has %d fields, not 5", s, len(fields))
	}
	c := Cron{text: s}
	for i, f := range []struct {
		what   string
		lo, hi int
		names  []string
		into   *uint64
	}{
		{"minute", 0, 59, nil, &c.minute}, {"hour", 0, 23, nil, &c.hour}, {"day", 1, 31, nil, &c.day},
		{"month", 1, 12, monthNames, &c.month}, {"weekday", 0, 7, dayNames, &c.week},
	} {
		bits, err := cronField(fields[i], f.lo, f.hi, f.names)
		if err != nil {
			return Cron{}, bad(wantCron, "%q is no %s (%d to %d) in schedule %q", fields[i], f.what, f.lo, f.hi, s)
		}
		*f.into = bits
	}
	if c.week&(1<<7) != 0 {
		c.week |= 1
	}
	c.dayStar, c.weekStar = strings.HasPrefix(fields[2], "*"), strings.HasPrefix(fields[4], "*")
	if c.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Cron{}, bad(wantCron, "schedule %q never comes due", s)
	}
	return c, nil
}

var errCron = bad("", "no such time")

func cronField(s string, lo, hi int, names []string) (uint64, error) {
	number := func(s string) (int, error) {
		for i, n := range names {
			if strings.EqualFold(s, n) {
				return i + lo, nil
			}
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < lo || n > hi || strings.HasPrefix(s, "+") {
			return 0, errCron
		}
		return n, nil
	}
	var bits uint64
	for _, part := range strings.Split(s, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 || n > hi {
				return 0, errCron
			}
			step = n
		}
		from, to := lo, hi
		if span != "*" {
			first, last, isRange := strings.Cut(span, "-")
			n, err := number(first)
			if err != nil {
				return 0, err
			}
			from = n
			switch {
			case isRange:
				if to, err = number(last); err != nil || to < from {
					return 0, errCron
				}
			case !stepped:
				to = from
			}
		}
		for n := from; n <= to; n += step {
			bits |= 1 << n
		}
	}
	return bits, nil
}

// String returns the schedule as it was written.
func (c Cron) String() string { return c.text }

// IsZero reports whether no schedule was given.
func (c Cron) IsZero() bool { return c.text == "" }

// Next returns the first due minute after t, in t's zone, or the zero time when none comes within nine years. A minute
// that the zone skips does not come due that day.
func (c Cron) Next(t time.Time) time.Time {
	if c.minute == 0 {
		return time.Time{}
	}
	zone := t.Location()
	t = t.Truncate(time.Minute).Add(time.Minute)
	end := t.AddDate(9, 0, 0)
	for t.Before(end) {
		y, m, d := t.Date()
		switch {
		case c.month&(1<<int(m)) == 0:
			t = time.Date(y, m+1, 1, 0, 0, 0, 0, zone)
		case !c.dueDay(t):
			t = forward(t, time.Date(y, m, d+1, 0, 0, 0, 0, zone))
		case c.hour&(1<<t.Hour()) == 0:
			t = t.Add(time.Hour - time.Duration(t.Minute())*time.Minute)
		case c.minute&(1<<t.Minute()) == 0:
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

// forward keeps the walk moving where a zone has no midnight that day.
func forward(old, next time.Time) time.Time {
	if !next.After(old) {
		return old.Add(time.Hour)
	}
	return next
}

// dueDay follows crontab(5): when both day fields are restricted, either may match.
func (c Cron) dueDay(t time.Time) bool {
	day, week := c.day&(1<<t.Day()) != 0, c.week&(1<<int(t.Weekday())) != 0
	if c.dayStar || c.weekStar {
		return day && week
	}
	return day || week
}
