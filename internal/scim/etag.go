package scim

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
)

// entityTag returns a weak entity tag (RFC 9110, section 8.8.3) that differs for different lists of texts.
func entityTag(parts []string) string {
	h := sha256.New()
	for _, part := range parts {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return `W/"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// MatchesTag reports whether the value of an If-Match or If-None-Match header names the version of a resource that
// exists. Weak tags match in both headers, since SCIM has only weak versions (RFC 7644, section 3.14). The tags of
// versions contain no comma.
func MatchesTag(header, version string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || opaque(tag) == opaque(version) {
			return true
		}
	}
	return false
}

// opaque returns an entity tag without the mark of weak ones.
func opaque(tag string) string { return strings.TrimPrefix(tag, "W/") }
