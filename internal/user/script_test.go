package user_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// A new address is of scripts that stand together, in its local part and in each label of its domain.
func TestScriptsOfNewAddresses(t *testing.T) {
	for _, tc := range []struct {
		name, address string
		// says is a part of the error; empty for an address that is allowed.
		says string
	}{
		{"Latin", "ann.lee+1@acme.example", ""},
		{"Latin with other letters", "jörg-éßøłđñ@müller.example", ""},
		{"capital letters", "JÖRG@MÜLLER.example", ""},
		{"Cyrillic", "сергей.петров7@acme.example", ""},
		{"Cyrillic in the domain", "сергей@почта.example", ""},
		{"Greek", "νίκος_α@acme.example", ""},
		{"Arabic", "محمد@acme.example", ""},
		{"Hebrew", "דוד@acme.example", ""},
		{"Devanagari", "राम@acme.example", ""},
		{"Thai", "สมชาย@acme.example", ""},
		{"Georgian", "გიორგი@acme.example", ""},
		{"Ethiopic, which is not among the frequent scripts", "አበበ@acme.example", ""},
		{"Japanese", "山田たろうタロー@acme.example", ""},
		{"Japanese with Latin", "taro山田たろうタロー@acme.example", ""},
		{"Chinese with Latin", "li李@acme.example", ""},
		{"Bopomofo with Chinese and Latin", "liㄌㄧ李@acme.example", ""},
		{"Korean with Latin and Chinese", "kim김金@acme.example", ""},
		{"a label in another script than the local part", "ann@пример.example", ""},
		{"an encoded label in one script", "ann@xn--e1afmkfd.example", ""},
		{"a dotless i in the domain", "ann@ılgaz.example", ""},
		{"a capital I with a dot", "İnci@acme.example", ""},

		{"a Cyrillic а in a Latin name", "\u0430nn@acme.example", "scripts Cyrillic and Latin in “\u0430nn”"},
		{"a Latin a in a Cyrillic name", "серgей@acme.example", "scripts Cyrillic and Latin"},
		{"parts in two scripts", "сергей.smith@acme.example", "scripts Cyrillic and Latin"},
		{"a Greek ο in a Latin name", "b\u03bfb@acme.example", "scripts Latin and Greek"},
		{"Greek and Cyrillic", "νικос@acme.example", "scripts Greek and Cyrillic"},
		{"Cherokee in Latin", "\uab92nn@acme.example", "scripts Cherokee and Latin"},
		{"Armenian in Latin", "h\u0578me@acme.example", "scripts Latin and Armenian"},
		{"Arabic in Latin", "annم@acme.example", "scripts Latin and Arabic"},
		{"Hiragana and Hangul", "たろう김@acme.example", "scripts Hiragana and Hangul"},
		{"Cyrillic among Japanese", "山田\u0430@acme.example", "scripts Han and Cyrillic"},
		{"a Cyrillic а in a Latin label", "ann@\u0430cme.example", "scripts Cyrillic and Latin in “\u0430cme”"},
		{"a Cyrillic о in an encoded label", "ann@xn--acme-93d.example", "scripts"},
		{"a dotless i", "adm\u0131n@acme.example", "letter “ı” looks like “i”"},
		{"a Latin alpha", "\u0251nn@acme.example", "letter “ɑ” looks like “a”"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check.Equal(t, user.IsEmail(tc.address), true, "a user who was added earlier may have %q", tc.address)
			check.Equal(t, user.ValidEmail(tc.address), true, "a request may name a user by %q", tc.address)
			got := user.CheckNewEmail(tc.address)
			switch {
			case tc.says == "" && got != nil:
				t.Errorf("got %q, want %s to be allowed", got.Message, tc.address)
			case tc.says != "" && (got == nil || got.Field != "email" || fault.KindOf(got) != fault.Invalid ||
				!strings.Contains(got.Message, tc.says)):
				t.Errorf("got %v, want fault.Invalid on email that says %q", got, tc.says)
			}
		})
	}
}

// A member whose address was recorded earlier is still found by it, invited and removed. No new one gets such an
// address.
func TestMembersWithMixedScripts(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		stored := user.User{ID: uuid.Must(uuid.NewV7()), Email: "\u0430nn@" + s.Account.ID.String() + ".example",
			FirstName: "Ann", LastName: "Lee", Locale: "en", CreatedAt: time.Now(), Pending: true}
		err := s.db.Users().Change(t.Context(), auth.NoActor("a test"), s.Account.ID, func(c user.Change) error {
			p := user.Person{User: stored}
			return errors.Join(c.CreateUsers(t.Context(), []user.NewUser{{User: stored}}),
				c.SaveMembers(t.Context(), []user.Membership{p.Membership()}))
		})
		if err != nil {
			t.Fatal(err)
		}
		grants := []user.StoreGrant{{Store: s.ref(0)}}
		invited, err := s.users.Invite(t.Context(), s.owner,
			user.Invitation{Details: user.Details{Email: stored.Email}, Stores: grants})
		check.Equal(t, invited.ID, stored.ID, "the invited user: %v", err)
		_, _, err = s.users.RemoveFromStore(t.Context(), s.owner, s.ref(0), stored.ID)
		check.Equal(t, err, nil, "removal from the store")

		fresh := newcomer("b\u043eb@" + s.Account.ID.String() + ".example")
		_, err = s.users.Create(t.Context(), s.owner, fresh)
		failing(t, err, fault.Invalid, "email")
		_, err = s.users.Invite(t.Context(), s.owner, user.Invitation{Details: fresh, Stores: grants})
		failing(t, err, fault.Invalid, "email")
		_, _, err = s.users.AddToStore(t.Context(), s.owner, s.ref(0), user.Ref{Email: &fresh.Email})
		failing(t, err, fault.Invalid, "user.email")
	})
}
