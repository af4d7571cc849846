package secret_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"hash/crc32"
	"math/big"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// alphabet is the base62 alphabet of the format.
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var kinds = []secret.Kind{
	secret.AccountAccessToken, secret.StoreAccessToken, secret.ClientSecret, secret.UserSession, secret.Flow,
	secret.GatewayKey,
}

// generate returns a random secret.
func generate(tb testing.TB, kind secret.Kind) secret.Secret {
	tb.Helper()
	s, err := secret.Generate(rand.Reader, kind)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// mistype changes one character in the middle of the random part.
func mistype(text string) string {
	with := byte('a')
	if text[20] == with {
		with = 'b'
	}
	return text[:20] + string(with) + text[21:]
}

// assemble is a second implementation of the format, with math/big: prefix, number,
// checksum.
func assemble(prefix string, number *big.Int) string {
	text := prefix + base62(number, 43)
	return text + base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(text)))), 6)
}

func base62(number *big.Int, width int) string {
	digits := make([]byte, width)
	rest, digit := new(big.Int).Set(number), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		rest.QuoRem(rest, big.NewInt(62), digit)
		digits[i] = alphabet[digit.Int64()]
	}
	return string(digits)
}

func TestGenerateFollowsTheFormat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "random bytes")
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		s, err := secret.Generate(bytes.NewReader(raw), kind)
		if err != nil {
			t.Fatal(err)
		}
		if want := assemble(string(kind), new(big.Int).SetBytes(raw)); s.Reveal() != want {
			t.Fatalf("got %s, want %s", s.Reveal(), want)
		}
		if len(s.Reveal()) != 53 || s.Kind() != kind {
			t.Fatalf("a secret of %d characters and kind %q, want 53 and %q", len(s.Reveal()), s.Kind(), kind)
		}
		parsed, err := secret.Parse(s.Reveal())
		if err != nil || parsed.Reveal() != s.Reveal() || parsed.Kind() != kind {
			t.Fatalf("Parse of a generated secret: kind %q, error %v, want the same secret of kind %q",
				parsed.Kind(), err, kind)
		}
	})
}

// The format must never change, since users have secrets: these texts must always
// be accepted.
func TestFormatIsStable(t *testing.T) {
	for _, test := range []struct {
		name string
		fill byte
		want string
	}{
		{"all zero bits", 0x00, "lka_00000000000000000000000000000000000000000000QzLwD"},
		{"all one bits", 0xff, "lka_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13RmnLh"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := secret.Generate(bytes.NewReader(bytes.Repeat([]byte{test.fill}, 32)), secret.AccountAccessToken)
			if err != nil {
				t.Fatal(err)
			}
			check.Equal(t, s.Reveal(), test.want, "s.Reveal()")
		})
	}
}

func TestSecretsAreDistinct(t *testing.T) {
	const many = 20_000
	seen := make(map[string]bool, many)
	for i := range many {
		seen[generate(t, kinds[i%len(kinds)]).Reveal()] = true
	}
	check.Equal(t, len(seen), many, "len(seen)")
}

func TestGenerateFails(t *testing.T) {
	broken := errors.New("entropy source failed")
	for _, test := range []struct {
		name   string
		random []byte
		after  error
		kind   secret.Kind
	}{
		{name: "random fails", after: broken, kind: secret.ClientSecret},
		{name: "random ends early", random: make([]byte, 31), kind: secret.ClientSecret},
		{name: "unknown kind", random: make([]byte, 32), kind: "lkz_"},
		{name: "no kind", random: make([]byte, 32)},
	} {
		t.Run(test.name, func(t *testing.T) {
			var source = iotest.ErrReader(test.after)
			if test.after == nil {
				source = bytes.NewReader(test.random)
			}
			s, err := secret.Generate(source, test.kind)
			if err == nil || s.Reveal() != "" {
				t.Errorf("Generate() = %q, %v, want no secret and an error", s.Reveal(), err)
			}
			if fault.KindOf(err) != fault.Internal || test.after != nil && !errors.Is(err, test.after) {
				t.Errorf("Generate: got error %v, want kind %s with the cause %v", err, fault.Internal, test.after)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	good := generate(t, secret.AccountAccessToken).Reveal()
	tooLarge := new(big.Int).Lsh(big.NewInt(1), 256)
	largest := new(big.Int).Sub(new(big.Int).Exp(big.NewInt(62), big.NewInt(43), nil), big.NewInt(1))
	foreign := good[:10] + "-" + good[11:47]
	for _, test := range []struct{ name, presented string }{
		{"nothing", ""},
		{"only a prefix", "lka_"},
		{"one character short", good[:52]},
		{"one character long", good + "0"},
		{"leading space", " " + good[:52]},
		{"trailing newline", good + "\n"},
		{"unknown prefix with a valid checksum", assemble("lkz_", big.NewInt(7))},
		{"prefix of capitals with a valid checksum", assemble("LKA_", big.NewInt(7))},
		{"number of 2^256", assemble("lka_", tooLarge)},
		{"largest number of 43 digits", assemble("lka_", largest)},
		{"foreign character with a valid checksum",
			foreign + base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(foreign)))), 6)},
		{"checksum above 2^32", good[:47] + "zzzzzz"},
		{"other kind, same checksum", "lks_" + good[4:]},
		{"multi-byte characters", strings.Repeat("é", 26) + "0"},
	} {
		t.Run(test.name, func(t *testing.T) { refused(t, test.presented) })
	}
}

// refused checks that Parse returns exactly ErrMalformed for presented.
func refused(tb interface {
	Helper()
	Fatalf(string, ...any)
}, presented string) {
	tb.Helper()
	s, err := secret.Parse(presented)
	if err != error(secret.ErrMalformed) || s.Reveal() != "" { //nolint:errorlint // it must not be wrapped
		tb.Fatalf("Parse(%q) = %q, %v, want no secret and ErrMalformed", presented, s.Reveal(), err)
	}
}

func TestErrMalformedKind(t *testing.T) {
	check.Equal(t, fault.KindOf(secret.ErrMalformed), fault.Unauthenticated, "kind")
}

// All 53 × 255 changes of one character of a secret.
func TestEveryChangedCharacterIsRejected(t *testing.T) {
	good := generate(t, secret.UserSession).Reveal()
	for i := range good {
		for c := range 256 {
			if byte(c) != good[i] {
				refused(t, good[:i]+string([]byte{byte(c)})+good[i+1:])
			}
		}
	}
}

// The checksum always detects these errors: a change and a swap within the first 47
// characters are bursts of at most 16 bits, a change of the length is always
// detected, and a swap across the boundary of the checksum would need two sums that
// differ by a multiple of 62^5 below 5, whose lowest set bit none of the possible
// differences has.
func TestTypingErrorsAreRejected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "random bytes")
		s, err := secret.Generate(bytes.NewReader(raw), rapid.SampledFrom(kinds).Draw(t, "kind"))
		if err != nil {
			t.Fatal(err)
		}
		good := s.Reveal()
		c := string(alphabet[rapid.IntRange(0, 61).Draw(t, "character")])
		for i := range good {
			refused(t, good[:i]+good[i+1:])
			refused(t, good[:i]+c+good[i:])
			if good[i:i+1] != c {
				refused(t, good[:i]+c+good[i+1:])
			}
			if i > 0 && good[i-1] != good[i] {
				refused(t, good[:i-1]+good[i:i+1]+good[i-1:i]+good[i+1:])
			}
		}
	})
}

func TestHint(t *testing.T) {
	s := generate(t, secret.GatewayKey)
	check.Equal(t, s.Hint(), "lkg_…"+s.Reveal()[49:], "s.Hint()")
}

func TestZeroSecretIsSafe(t *testing.T) {
	var zero secret.Secret
	if zero.Kind() != "" || zero.Reveal() != "" || zero.Hint() != "" || zero.String() != "[secret]" {
		t.Errorf("the zero secret: kind %q, reveal %q, hint %q, string %q, want only [secret]",
			zero.Kind(), zero.Reveal(), zero.Hint(), zero.String())
	}
}

func TestParseAllocates(t *testing.T) {
	good := generate(t, secret.AccountAccessToken).Reveal()
	bad := mistype(good)
	check.Equal(t, testing.AllocsPerRun(100, func() { stored, _ = secret.Parse(bad) }), 0, "result")
	if n := testing.AllocsPerRun(100, func() { stored, _ = secret.Parse(good) }); n > 1 {
		t.Errorf("allocations for a valid secret: got %v, want 1 at most", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, kind := range kinds {
		good := generate(f, kind).Reveal()
		f.Add(good)
		f.Add(mistype(good))
	}
	f.Add("")
	f.Add(assemble("lka_", new(big.Int).Lsh(big.NewInt(1), 256)))
	f.Fuzz(func(t *testing.T, presented string) {
		s, err := secret.Parse(presented)
		if err != nil {
			refused(t, presented)
			return
		}
		number := new(big.Int)
		for _, c := range presented[4:47] {
			number.Mul(number, big.NewInt(62))
			number.Add(number, big.NewInt(int64(strings.IndexRune(alphabet, c))))
		}
		if s.Reveal() != presented || number.BitLen() > 256 || assemble(string(s.Kind()), number) != presented {
			t.Errorf("Parse(%q) = %q, want an error or the same text", presented, s.Reveal())
		}
	})
}
