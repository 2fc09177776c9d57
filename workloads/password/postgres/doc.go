// Package postgres runs a PostgreSQL server for as long as its caller does: Debian's package, in a
// folder of its own, on an address of this machine. The server is real; that nobody needs its data
// afterwards is all that is special.
//
//	server, err := postgres.Start(ctx, postgres.Settings{Bin: bin}) // bin of Find
//	config, err := server.Config()                                  // for pgx and pgxpool
//	err = server.Stop()
//
// It lets nobody in without SCRAM-SHA-256, listens on no socket but the given one, and runs as an
// unprivileged user where the caller is root, since PostgreSQL refuses root. Nothing of it is left
// after Stop, and neither is after a kill -9 of the caller: a shell waits at the other end of a
// pipe, and when that closes it ends the server and removes the folder. Only if that shell is
// killed too does the server stay.
package postgres
