package cluster

import (
	"context"
	"net"
	"strconv"
	"time"
)

// serves says whether something accepts connections there.
func serves(ctx context.Context, address string, port int) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
