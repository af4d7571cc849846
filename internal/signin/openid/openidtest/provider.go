// Package openidtest provides an OpenID Connect provider for tests. It serves
// HTTP with sign-in pages, checks requests as strictly as the specifications
// say, and can be made to answer wrongly.
package openidtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ClientID is the only client of the provider.
const ClientID = "latchkey at the provider"

// Person is a user of the provider, identified by address.
type Person struct {
	Subject, Email string
	Verified       bool
}

// Behaviour makes the provider deviate from the specifications or from its
// defaults.
type Behaviour struct {
	// Claims changes the claims of an ID token before it is signed.
	Claims func(map[string]any)
	// Unsigned gives ID tokens the algorithm "none" (RFC 8725, section 3.2).
	Unsigned bool
	// OtherKey signs ID tokens with a key that is not published.
	OtherKey bool
	// Apart returns the address from the userinfo endpoint only.
	Apart bool
	// OtherSubject makes the userinfo endpoint answer for another subject.
	OtherSubject bool
	// Remembers never asks a signed-in user again, even if the client requires
	// it.
	Remembers bool
	// Metadata changes the provider's metadata.
	Metadata func(map[string]any)
	// Secret is the only supported client authentication method, which the
	// metadata then lists: client_secret_basic or client_secret_post.
	Secret string
	// Intercept answers a request instead of the provider. It reports whether
	// it did.
	Intercept func(http.ResponseWriter, *http.Request) bool
}

// Provider is a running provider. It is safe for concurrent use.
type Provider struct {
	server *httptest.Server
	// ClientSecret is the client secret.
	ClientSecret string

	mu       sync.Mutex
	people   map[string]Person
	keys     []jose.JSONWebKey
	requests map[string]request
	grants   map[string]grant
	sessions map[string]session
	down     bool
	be       Behaviour
	asked    []url.Values
}

// request is an authentication request until the user answers.
type request struct{ redirect, state, nonce, challenge string }

// session is a user's session at the provider.
type session struct {
	email string
	at    time.Time
}

// grant is what a code or an access token stands for.
type grant struct {
	request
	session
}

// Start starts a provider with these users. The caller must close it.
func Start(people ...Person) (*Provider, error) {
	p := &Provider{
		ClientSecret: rand.Text(), people: map[string]Person{}, requests: map[string]request{},
		grants: map[string]grant{}, sessions: map[string]session{},
	}
	for _, each := range people {
		p.people[each.Email] = each
	}
	if err := p.RotateKeys(); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.publish)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /login", p.login)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userInfo)
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		down, be := p.down, p.be
		p.mu.Unlock()
		if be.Intercept != nil && be.Intercept(w, r) {
			return
		}
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	return p, nil
}

// Close stops the provider.
func (p *Provider) Close() { p.server.Close() }

// Issuer returns the provider's identifier, which is its URL.
func (p *Provider) Issuer() string { return p.server.URL }

// Down makes the provider answer every request with 503, or work again.
func (p *Provider) Down(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// Behave sets how the provider behaves from now on.
func (p *Provider) Behave(b Behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.be = b
}

// Know adds a user, or replaces the one with the same address.
func (p *Provider) Know(who Person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people[who.Email] = who
}

// Asked returns the authentication requests so far.
func (p *Provider) Asked() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// RotateKeys replaces the signing keys with a new one.
func (p *Provider) RotateKeys() error {
	key, err := newKey()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = []jose.JSONWebKey{key}
	return nil
}

// SignWithRSA signs with an RSA key of this many bits from now on.
func (p *Provider) SignWithRSA(bits int) error {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = []jose.JSONWebKey{{Key: key, KeyID: rand.Text(), Algorithm: string(jose.RS256), Use: "sig"}}
	return nil
}

func newKey() (jose.JSONWebKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: string(jose.ES256), Use: "sig"}, err
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	at := p.Issuer()
	p.mu.Lock()
	be := p.be
	p.mu.Unlock()
	said := map[string]any{
		"issuer": at, "authorization_endpoint": at + "/authorize", "token_endpoint": at + "/token",
		"userinfo_endpoint": at + "/userinfo", "jwks_uri": at + "/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(jose.ES256), string(jose.RS256)},
		"code_challenge_methods_supported":      []string{"S256"},
	}
	if be.Secret != "" {
		said["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt", be.Secret}
	}
	if be.Metadata != nil {
		be.Metadata(said)
	}
	answer(w, http.StatusOK, said)
}

func (p *Provider) publish(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, key := range p.keys {
		set.Keys = append(set.Keys, key.Public())
	}
	answer(w, http.StatusOK, set)
}

// authorize shows the sign-in page (OpenID Connect Core, section 3.1.2).
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	asks := request{query.Get("redirect_uri"), query.Get("state"), query.Get("nonce"), query.Get("code_challenge")}
	back, err := url.Parse(asks.redirect)
	if err != nil || !strings.HasSuffix(back.Path, "/signin/openid/callback") || query.Get("client_id") != ClientID {
		http.Error(w, "no such client", http.StatusBadRequest)
		return
	}
	scopes := strings.Fields(query.Get("scope"))
	if query.Get("response_type") != "code" || len(scopes) == 0 || scopes[0] != "openid" || asks.state == "" ||
		asks.nonce == "" ||
		query.Get("code_challenge_method") != "S256" || len(asks.challenge) != 43 {
		p.back(w, r, asks, url.Values{"error": {"invalid_request"}})
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, query)
	again := query.Get("prompt") == "login" || query.Get("max_age") == "0"
	known, signedIn := session{}, false
	if cookie, err := r.Cookie("sso"); err == nil {
		known, signedIn = p.sessions[cookie.Value]
	}
	skip := signedIn && (!again || p.be.Remembers)
	id := rand.Text()
	p.requests[id] = asks
	p.mu.Unlock()
	if skip {
		p.grant(w, r, id, known)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Provider</title><meta name="viewport" content="width=device-width"><h1>Who are you?</h1>
<form method="post" action="/login"><input type="hidden" name="request" value="%s"><label for="email">Your address</label><input id="email" name="email">
<button>That is me</button> <button name="cancel" value="1">Cancel</button></form>`, html.EscapeString(id))
}

// login handles the sign-in form.
func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	id := r.PostFormValue("request")
	if r.PostFormValue("cancel") != "" {
		p.mu.Lock()
		asks := p.requests[id]
		delete(p.requests, id)
		p.mu.Unlock()
		p.back(w, r, asks, url.Values{"error": {"access_denied"}})
		return
	}
	now := session{r.PostFormValue("email"), time.Now()}
	p.mu.Lock()
	_, known := p.people[now.email]
	cookie := rand.Text()
	p.sessions[cookie] = now
	p.mu.Unlock()
	if !known {
		http.Error(w, "nobody", http.StatusForbidden)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "sso", Value: cookie, Path: "/", HttpOnly: true,
		SameSite: http.SameSiteLaxMode})
	p.grant(w, r, id, now)
}

// grant sends the browser back with a code.
func (p *Provider) grant(w http.ResponseWriter, r *http.Request, id string, who session) {
	p.mu.Lock()
	asks, open := p.requests[id]
	delete(p.requests, id)
	code := rand.Text()
	p.grants[code] = grant{asks, who}
	p.mu.Unlock()
	if !open {
		http.Error(w, "this request was answered", http.StatusBadRequest)
		return
	}
	p.back(w, r, asks, url.Values{"code": {code}, "iss": {p.Issuer()}})
}

func (p *Provider) back(w http.ResponseWriter, r *http.Request, asks request, values url.Values) {
	if asks.redirect == "" {
		http.Error(w, "this request was answered", http.StatusBadRequest)
		return
	}
	values.Set("state", asks.state)
	http.Redirect(w, r, asks.redirect+"?"+values.Encode(), http.StatusSeeOther)
}

// token redeems a code, once, for the client that asked for it (RFC 6749,
// section 4.1.3; RFC 7636, section 4.6).
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if basic {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	p.mu.Lock()
	by := p.be.Secret
	p.mu.Unlock()
	if by != "" && basic != (by == "client_secret_basic") || id != ClientID ||
		subtle.ConstantTimeCompare([]byte(secret), []byte(p.ClientSecret)) != 1 {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	found, open := p.grants[r.PostFormValue("code")]
	delete(p.grants, r.PostFormValue("code"))
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !open || r.PostFormValue("grant_type") != "authorization_code" ||
		r.PostFormValue("redirect_uri") != found.redirect ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != found.challenge {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	token, err := p.idToken(found)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	access := rand.Text()
	p.mu.Lock()
	p.grants["access "+access] = found
	p.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 60,
		"id_token": token})
}

func (p *Provider) idToken(g grant) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who, now := p.people[g.email], time.Now()
	claims := map[string]any{
		"iss": p.server.URL, "sub": who.Subject, "aud": ClientID, "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(),
		"nonce": g.nonce, "auth_time": g.at.Unix(),
	}
	if !p.be.Apart {
		claims["email"], claims["email_verified"] = who.Email, who.Verified
	}
	if p.be.Claims != nil {
		p.be.Claims(claims)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	if p.be.Unsigned {
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(`{"alg":"none"}`)) + "." + encode(text) + ".", nil
	}
	key := p.keys[0]
	if p.be.OtherKey {
		other, err := newKey()
		if err != nil {
			return "", err
		}
		other.KeyID = key.KeyID
		key = other
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, nil)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(text)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	access, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.Lock()
	found, open := p.grants["access "+access]
	who, be := p.people[found.email], p.be
	p.mu.Unlock()
	if !open {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	if be.OtherSubject {
		who.Subject += " and not"
	}
	answer(w, http.StatusOK, map[string]any{"sub": who.Subject, "email": who.Email, "email_verified": who.Verified})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(errors.Join(errors.New("a test's provider"), err))
	}
}
