package openid

import (
	"encoding/json"
	"maps"

	"latchkey/internal/signin"
)

// CheckMetadata checks the metadata of an issuer whose endpoints are valid,
// except for the changed ones.
func CheckMetadata(issuer string, changed map[string]string) error {
	all := map[string]string{"authorization_endpoint": issuer + "/a", "token_endpoint": issuer + "/t",
		"userinfo_endpoint": issuer + "/u", "jwks_uri": issuer + "/k"}
	maps.Copy(all, changed)
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	var m metadata
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	if err := m.check(issuer); err != nil {
		return signin.Refuse(signin.ReasonUntrusted, err)
	}
	return nil
}
