package openid

import (
	"encoding/json"
	"testing"
	"time"
)

// Claims of any form are refused, or name a subject of this provider and this client.
func FuzzClaims(f *testing.F) {
	f.Add(`{"iss":"https://id.example","aud":"client","nonce":"n","sub":"s","iat":1,"exp":9999999999,"email":"a@b.example","email_verified":true}`)
	f.Add(`{"iss":"https://id.example","aud":["client","other"],"azp":"client","nonce":"n","sub":"s","iat":1e3,"exp":2e9}`)
	f.Add(`{"SUB":"s","sub":1,"aud":null,"exp":-1,"iat":"1","auth_time":1e400}`)
	p := New(Config{Issuer: "https://id.example", ClientID: "client",
		Now: func() time.Time { return time.Unix(1_700_000_000, 0) }})
	f.Fuzz(func(t *testing.T, text string) {
		var all claimSet
		if json.Unmarshal([]byte(text), &all) != nil {
			return
		}
		claims, err := p.idToken(all, "n")
		if err != nil {
			return
		}
		var issuer, nonce string
		if claims.Subject == "" || json.Unmarshal(all["iss"], &issuer) != nil || issuer != "https://id.example" ||
			json.Unmarshal(all["nonce"], &nonce) != nil || nonce != "n" {
			t.Errorf("got %s accepted", text)
		}
	})
}
