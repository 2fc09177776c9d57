package handshake

import "github.com/certquake/certquake/harness/record"

// Ending is what one end tells of an attempt when only its words reach whoever joins both ends. The
// zero value stands for an end that left none.
type Ending struct {
	Outcome record.Outcome
	Decided bool // this end rejected the attempt
	Alerted bool // this end was told by an alert that the other one did
}

// Ending returns what the result tells.
func (r Result) Ending() Ending {
	_, alerted := remoteAlert(r.Err)
	return Ending{Outcome: r.Outcome, Decided: r.Decided, Alerted: alerted}
}

// Join returns the outcome of an attempt and the end that decided it, from the results of both.
//
// The client's OK is the attempt's: only the client knows that the confirming byte arrived. Of a
// failure, the end that rejected tells the cause. When neither did, an end that saw an alert names
// the other as the one that decided; otherwise the outcome is the more telling one, and no end is
// named.
func Join(client, server Result) (record.Outcome, record.Side) {
	return JoinEndings(client.Ending(), server.Ending())
}

// JoinEndings is Join for the words of both ends.
func JoinEndings(client, server Ending) (record.Outcome, record.Side) {
	switch {
	case client.Outcome == record.OK:
		return record.OK, ""
	case client.Decided:
		return client.Outcome, record.Client
	case server.Decided:
		return server.Outcome, record.Server
	case client.Alerted:
		return client.Outcome, record.Server
	case server.Alerted:
		return server.Outcome, record.Client
	}
	return moreTelling(client.Outcome, server.Outcome), ""
}

// moreTelling prefers the client's outcome unless it says nothing: a server that timed out explains
// a client that saw the connection end.
func moreTelling(client, server record.Outcome) record.Outcome {
	silent := client == "" || client == record.Other
	if silent && server.Failed() && server != "" {
		return server
	}
	if client == "" {
		return record.Other
	}
	return client
}
