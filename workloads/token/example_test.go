package token_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"testing/fstest"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/token"
)

// An issuer and a verifier share a Secret. Both follow its rotations by themselves.
func Example() {
	now := start            // time.Now() in a pod
	secret := fstest.MapFS{ // os.DirFS("/var/run/secrets/jwt") in a pod
		"r1.key":         {Data: []byte("an old key of thirty-two bytes..")},
		"r2.key.primary": {Data: []byte("the primary of thirty-two bytes.")},
	}
	settings := token.Settings{Algorithm: token.HS256, Issuer: "shop", TTL: time.Minute}
	keys := keyring.New(secret, keyring.Settings{Check: settings.Algorithm.Check})
	signer, _ := token.NewSigner(settings, keys.Ring)
	verifier, _ := token.NewVerifier(settings, token.NewRingKeys(token.HS256, keys.Ring))

	text, kid, _ := signer.Sign(now, jwt.Claims{Subject: "someone"})
	fmt.Println("signed with", kid)
	claims, kid, err := verifier.Verify(context.Background(), now, text)
	fmt.Println(claims.Subject, kid, err)
	_, _, err = verifier.Verify(context.Background(), now.Add(time.Minute), text)
	fmt.Println(err)
	if refused, ok := errors.AsType[*token.Error](err); ok {
		fmt.Println(refused.Outcome)
	}
	// Output:
	// signed with r2
	// someone r2 <nil>
	// token of key r2: token-expired: exp has passed
	// token-expired
}

// An issuer publishes its public keys, and a verifier elsewhere fetches them as panva/jose would.
func ExampleServeJWKS() {
	ring := keyring.New(os.DirFS("/var/run/secrets/jwt"), keyring.Settings{
		Parts: []keyring.Part{token.ES256.SigningPart()}, Check: token.ES256.Check,
	})
	jwks, _ := token.ServeJWKS(token.ES256, time.Minute, ring.Ring)
	http.Handle("GET /jwks.json", jwks)

	fetch := token.NewFetcher(nil, "https://issuer.example/jwks.json", token.ES256)
	cache, _ := token.NewCache(token.PanvaJose(), fetch)
	verifier, _ := token.NewVerifier(token.Settings{Algorithm: token.ES256}, cache)
	_ = verifier
}
