//go:build !unix

package durable

// Elsewhere a folder cannot be opened to be synced; the file system's journal orders its names.
func syncDir(string) error { return nil }
