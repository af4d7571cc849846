package deploy_test

import (
	"runtime"
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

const dockerfile = "docker/Dockerfile"

// BuildKit's parser accepts the Dockerfile without a warning. The image has only the program, which runs as an
// unprivileged user, and its Go version is that of go.mod's toolchain.
func TestDockerfile(t *testing.T) {
	var files [][]struct {
		Name, Base   string
		Instructions []struct{ Name, Text string }
	}
	if err := deploycheck(t, &files, "dockerfile", dockerfile); err != nil {
		t.Fatal(err)
	}
	build, image := files[0][0], files[0][1]
	check.Equal(t, len(files[0]), 2, "stages")
	minor := strings.Join(strings.Split(strings.TrimPrefix(runtime.Version(), "go"), ".")[:2], ".")
	check.Equal(t, strings.HasPrefix(build.Base, "golang:"+minor+"."), true, "base %s, of Go %s", build.Base, minor)
	check.Equal(t, image.Base, "scratch", "base of the image")
	found := map[string]string{}
	for _, i := range image.Instructions {
		found[strings.ToUpper(i.Name)] = i.Text
		check.Equal(t, strings.EqualFold(i.Name, "RUN"), false, "whether the image runs %s", i.Text)
	}
	for name, want := range map[string]string{"USER": "USER 65532:65532", "STOPSIGNAL": "STOPSIGNAL SIGTERM",
		"ENTRYPOINT": `ENTRYPOINT ["/latchkey"]`, "CMD": `CMD ["serve"]`, "EXPOSE": "EXPOSE 8080 8081"} {
		check.Equal(t, found[name], want, "instruction %s", name)
	}
	check.Equal(t, strings.HasSuffix(found["HEALTHCHECK"], `CMD ["/latchkey", "health"]`), true,
		"whether %s asks the program", found["HEALTHCHECK"])
	variables := map[string]string{"LATCHKEY_KEY_FILE": "/key"}
	for pair := range strings.FieldsSeq(strings.TrimPrefix(found["ENV"], "ENV ")) {
		name, value, _ := strings.Cut(pair, "=")
		variables[name] = value
	}
	c := settings(t, variables)
	check.Equal(t, c.Addr+" "+c.AdminAddr, ":8080 :8081", "listeners of the container")
}

func TestDockerfileCheckRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, with string }{
		{"an unknown instruction", "STOPSIGNAL", "STOP"},
		{"a wrong option", "--interval=10s", "--every=10s"},
		{"a wrong duration", "--interval=10s", "--interval=soon"},
		{"no stage", "FROM scratch", "FROM"},
	} {
		var nothing any
		if err := deploycheck(t, &nothing, "dockerfile", changed(t, dockerfile, tc.text, tc.with)); err == nil {
			t.Errorf("%s: got no error, want one", tc.name)
		}
	}
}
