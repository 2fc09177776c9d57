package handshake_test

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/handshake"
)

func TestJoin(t *testing.T) {
	decided := func(o record.Outcome) handshake.Result {
		return handshake.Result{Outcome: o, Decided: true, Err: errors.New("refused")}
	}
	saw := func(o record.Outcome) handshake.Result {
		return handshake.Result{Outcome: o, Err: io.EOF}
	}
	ok := handshake.Result{Outcome: record.OK}
	rows := []struct {
		name           string
		client, server handshake.Result
		outcome        record.Outcome
		side           record.Side
	}{
		{"both ok", ok, ok, record.OK, ""},
		{"the server lost the client after the answer", ok, saw(record.Other), record.OK, ""},
		{"the answer never arrived", saw(record.Timeout), ok, record.Timeout, ""},
		{
			"the client decided", decided(record.Expired), saw(record.BadCertificate),
			record.Expired, record.Client,
		},
		{
			"the server decided", saw(record.BadCertificate), decided(record.WrongUsage),
			record.WrongUsage, record.Server,
		},
		{
			"the client's files were bad", handshake.Refused(io.EOF),
			handshake.Result{},
			record.NoCredential, record.Client,
		},
		{
			"the server's files were bad", saw(record.Other), handshake.Refused(io.EOF),
			record.NoCredential, record.Server,
		},
		{"only the client is known", saw(record.Timeout), handshake.Result{}, record.Timeout, ""},
		{"only the server is known", handshake.Result{}, saw(record.Timeout), record.Timeout, ""},
		{
			"the server's deadline cut the client off", saw(record.Other), saw(record.Timeout),
			record.Timeout, "",
		},
		{"nothing is known", handshake.Result{}, handshake.Result{}, record.Other, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			outcome, side := handshake.Join(row.client, row.server)
			assert.Equal(t, row.outcome, outcome)
			assert.Equal(t, row.side, side)
		})
	}
}

// TestJoinByAlert names the deciding end although that end left no result.
func TestJoinByAlert(t *testing.T) {
	w := newWorld(t, tls13)
	w.client = node(t, w.other, order{}, w.ca)
	client, _ := w.do(t)
	outcome, side := handshake.Join(client, handshake.Result{})
	assert.Equal(t, record.UnknownAuthority, outcome)
	assert.Equal(t, record.Server, side)

	w = newWorld(t, tls13)
	w.server = node(t, w.other, order{}, w.ca)
	_, server := w.do(t)
	outcome, side = handshake.Join(handshake.Result{}, server)
	assert.Equal(t, record.BadCertificate, outcome)
	assert.Equal(t, record.Client, side)
}
