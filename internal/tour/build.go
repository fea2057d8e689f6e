package tour

import (
	"context"
	"fmt"
	"os/exec"
)

// Build builds skeind, skeinctl and whatever else stands in cmd into dir, as a
// user does. Tests and benchmarks use it.
func Build(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", "github.com/skein-dataplane/skein/cmd/...").CombinedOutput()
	if err != nil {
		return fmt.Errorf("tour: go build: %w\n%s", err, out)
	}
	return nil
}
