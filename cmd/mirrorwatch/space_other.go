//go:build !linux && !darwin

package main

import "errors"

// spaceLeft is not known here.
func spaceLeft(string) (int64, error) { return 0, errors.ErrUnsupported }
