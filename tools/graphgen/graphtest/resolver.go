package graphtest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Resolver resolves the schema from memory.
type Resolver struct{ counter atomic.Int64 }

// Things returns two things, the second of which the variant damages.
func (r *Resolver) Things(_ context.Context, variant string) ([]Thing, error) {
	if variant == "error" {
		return nil, errors.New("no things today")
	}
	return []Thing{sample("a"), damaged(variant)}, nil
}

// Perhaps returns Things with a null between them.
func (r *Resolver) Perhaps(ctx context.Context, variant string) ([]*Thing, error) {
	things, err := r.Things(ctx, variant)
	if err != nil {
		return nil, err
	}
	return []*Thing{&things[0], nil, &things[1]}, nil
}

// Thing returns one thing, which the variant damages.
func (r *Resolver) Thing(_ context.Context, variant string) (*Thing, error) {
	t := damaged(variant)
	return &t, nil
}

// Nothing returns null.
func (r *Resolver) Nothing(context.Context) (*Thing, error) { return nil, nil }

// Nodes returns objects of both types.
func (r *Resolver) Nodes(context.Context) ([]Node, error) {
	return []Node{sample("a"), person("p")}, nil
}

// Found returns objects of both types and a null.
func (r *Resolver) Found(context.Context) ([]Found, error) {
	return []Found{sample("a"), nil, person("p")}, nil
}

// Connection returns the first Person objects.
func (r *Resolver) Connection(_ context.Context, first int) (*Connection, error) {
	edges := make([]Edge, first)
	c := &Connection{Edges: make([]*Edge, first), HasNext: true}
	for i := range edges {
		p := person(fmt.Sprint("p", i))
		edges[i] = Edge{Node: p, Cursor: "Y3Vyc29yOjAxOTNlNWE4LTdjMWEtN2Y0ZQ" + p.ID}
		c.Edges[i] = &edges[i]
	}
	return c, nil
}

// Total returns the number of a connection's elements.
func (r *Resolver) Total(_ context.Context, c *Connection) (int, error) { return len(c.Edges), nil }

// Slow is a field with a resolver; it fails for the thing named "b".
func (r *Resolver) Slow(_ context.Context, t *Thing) (string, error) {
	if t.Name == "b" {
		return "", errors.New("too slow")
	}
	return "slow " + t.Name, nil
}

// Count is the namespace of a mutation.
func (r *Resolver) Count(context.Context) (*Counter, error) { return &Counter{}, nil }

// Next waits for so many milliseconds and counts.
func (r *Resolver) Next(_ context.Context, _ *Counter, after int) (*int, error) {
	time.Sleep(time.Duration(after) * time.Millisecond)
	n := int(r.counter.Add(1))
	return &n, nil
}

// Reset resets the counter.
func (r *Resolver) Reset(context.Context, *Counter) (*Reset, error) {
	return &Reset{Was: int(r.counter.Swap(0)), Secret: "s3cret", By: person("p")}, nil
}

func person(id string) Person {
	return Person{ID: "bc/account/user/" + id, Email: id + "@example.com", FirstName: "Ada",
		LastName: "Lovelace \"the\\first\"\n\t\r\x01é\u2028", Locale: "en"}
}

func part(number int) *Part {
	at := time.Unix(int64(number), 0)
	return &Part{Record{ID: number, Number: number, SeenAt: &at}}
}

func sample(name string) Thing {
	note, big, low, p := "noted", int64(1<<53+1), Low, person("owner")
	return Thing{
		ID: "thing/" + name, Name: name, Note: &note, Count: 3, Big: &big, Ratio: 1.5, On: true, Kind: KindRound,
		Level: &low,
		Color: Color{255, 128, 1}, At: time.Date(2026, 1, 31, 10, 30, 0, 1000, time.FixedZone("", 3600)),
		Tags: []string{"x", "y\""}, Labels: []*string{&note, nil}, Grid: [][]int{{1, 2}, nil, {}},
		Owner: &p, Parts: []*Part{part(1), part(2)}, Spares: []Part{*part(3)},
		Child: &Thing{Name: "child", Owner: &p, At: time.Unix(0, 0)},
	}
}

// damaged returns a thing with an invalid or missing value.
func damaged(variant string) Thing {
	t := sample("b")
	switch variant {
	case "empty":
		t = Thing{Name: "b", Owner: t.Owner, At: t.At}
	case "owner":
		t.Owner = nil
	case "part":
		t.Parts = []*Part{part(1), nil}
	case "child":
		t.Child.Owner = nil
	case "time":
		t.At = time.Time{}
	case "panic":
		t.Panics = true
	case "count":
		t.Count = 0
	}
	return t
}
