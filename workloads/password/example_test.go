package password_test

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/password"
	"github.com/certquake/certquake/workloads/rotation"
)

// A client keeps a ring and a pool over it for the life of the process.
func ExampleOpen() {
	keys := keyring.New(os.DirFS("/var/run/secrets/database"), keyring.Settings{
		Parts: []keyring.Part{password.Part}, Check: password.Check,
	})
	config, err := pgxpool.ParseConfig("host=db.shop dbname=shop sslmode=verify-full")
	if err != nil {
		fmt.Println(err)
		return
	}
	pool, err := password.Open(config, keys.Ring,
		password.Settings{Recycle: password.RecycleOnRotation})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	attempt := pool.Use(context.Background(), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT 1")
		return err
	})
	fmt.Println(attempt.Promise, attempt.Outcome, attempt.User, attempt.Err)
}

// A driver of package rotation prepares the server before it writes the Secret.
func ExampleRoles_Prepare() {
	step := func(ctx context.Context, roles *password.Roles, in rotation.Input,
		files map[string][]byte, source rotation.Source,
		write func(context.Context, rotation.Secret) error,
	) error {
		d := rotation.Decide(in)
		if !d.Write {
			return nil
		}
		secret, err := rotation.Apply(d, files, source)
		if err != nil {
			return err
		}
		if err := roles.Prepare(ctx, d, secret); err != nil {
			return err // nothing is written: the same step is decided again
		}
		return write(ctx, secret)
	}
	_ = step
}
