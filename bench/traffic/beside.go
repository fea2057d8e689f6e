package traffic

import (
	"context"
	"errors"
)

// Beside asks while a flood goes on, as long as that lasts at most: the delay
// under load.
func (r Requests) Beside(ctx context.Context, u UDP) (*Taken, Flooded, error) {
	type flooded struct {
		f   Flooded
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan flooded, 1)
	go func() {
		f, err := u.Run(ctx)
		done <- flooded{f, err}
	}()
	t, err := r.Run(ctx)
	cancel()
	flood := <-done
	return t, flood.f, errors.Join(err, flood.err)
}
