package deploy_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"latchkey/internal/test/check"
)

// object is what the tests read of an object of Kubernetes.
type object struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Data                         map[string]string
	AutomountServiceAccountToken *bool
	Spec                         struct {
		Replicas    int
		Selector    map[string]any
		PodSelector map[string]any
		Template    struct {
			Metadata struct{ Labels map[string]string }
			Spec     podSpec
		}
		Ports   []struct{ TargetPort any }
		Ingress []struct{ Ports []struct{ Port int } }
	}
}

type podSpec struct {
	AutomountServiceAccountToken  *bool
	EnableServiceLinks            *bool
	ServiceAccountName            string
	TerminationGracePeriodSeconds int
	SecurityContext               struct {
		RunAsNonRoot   bool
		RunAsUser      int
		FSGroup        int
		SeccompProfile struct{ Type string }
	}
	Containers []container
	Volumes    []struct {
		Name   string
		Secret struct {
			SecretName  string
			DefaultMode int
		}
	}
}

type probe struct{ HTTPGet struct{ Path, Port string } }

type container struct {
	Args    []string
	Image   string
	EnvFrom []struct{ ConfigMapRef struct{ Name string } }
	Env     []struct{ Name, Value string }
	Ports   []struct {
		Name          string
		ContainerPort int
	}
	StartupProbe, LivenessProbe, ReadinessProbe probe
	VolumeMounts                                []struct{ Name, MountPath string }
	Resources                                   struct{ Requests, Limits map[string]string }
	SecurityContext                             struct {
		AllowPrivilegeEscalation *bool
		ReadOnlyRootFilesystem   bool
		Capabilities             struct{ Drop []string }
	}
}

// manifests returns the objects by kind. Kubernetes' own types accept each of them, and kustomization.yaml has all.
func manifests(t *testing.T) map[string]object {
	t.Helper()
	var listed struct {
		Namespace string
		Resources []string
		Images    []struct{ Name string }
	}
	decode(t, "kubernetes/kustomization.yaml", yaml.Unmarshal, &listed)
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var resources []string
	for _, file := range files {
		if name := filepath.Base(file); name != "kustomization.yaml" {
			resources = append(resources, name)
		}
	}
	slices.Sort(listed.Resources)
	check.Equal(t, listed.Resources, resources, "resources of kustomization.yaml")
	var objects []object
	paths := slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "kustomization.yaml") })
	if err := deploycheck(t, &objects, "kubernetes", paths...); err != nil {
		t.Fatal(err)
	}
	byKind := map[string]object{}
	for _, o := range objects {
		byKind[o.Kind] = o
		if o.Kind != "Namespace" {
			check.Equal(t, o.Metadata.Namespace, listed.Namespace, "namespace of the %s", o.Kind)
		}
	}
	check.Equal(t, len(byKind), len(objects), "kinds, one object of each")
	for _, kind := range []string{"Deployment", "Job"} {
		check.Equal(t, byKind[kind].Spec.Template.Spec.Containers[0].Image, listed.Images[0].Name,
			"image of the %s, which kustomization.yaml names", kind)
	}
	return byKind
}

// The pods have settings of the product, are probed where it answers, and have time to stop.
func TestKubernetesDeployment(t *testing.T) {
	all := manifests(t)
	pod := all["Deployment"].Spec.Template.Spec
	server := pod.Containers[0]
	check.Equal(t, server.Args, []string{"serve"}, "command of servers")
	values := maps.Clone(all["ConfigMap"].Data)
	for _, e := range server.Env {
		values[e.Name] = strings.ReplaceAll(e.Value, "$(POD_IP)", "10.0.0.1")
	}
	c := settings(t, values)
	stopsWithin(t, c, time.Duration(pod.TerminationGracePeriodSeconds)*time.Second)
	ports := map[string]string{}
	for _, p := range server.Ports {
		ports[p.Name] = ":" + map[int]string{8080: "8080", 8081: "8081"}[p.ContainerPort]
	}
	check.Equal(t, ports, map[string]string{"http": c.Addr, "admin": c.AdminAddr}, "ports, and those of the settings")
	for path, p := range map[string]probe{"/readyz": server.ReadinessProbe, "/healthz": server.LivenessProbe} {
		check.Equal(t, p.HTTPGet.Path+" "+p.HTTPGet.Port, path+" admin", "probe")
	}
	check.Equal(t, server.StartupProbe, server.LivenessProbe, "startup probe")
	check.Equal(t, all["Service"].Spec.Ports[0].TargetPort, any("http"), "port of the Service")
	check.Equal(t, all["Job"].Spec.Template.Spec.Containers[0].Args, []string{"migrate"}, "command of the Job")
	var open []int
	for _, rule := range all["NetworkPolicy"].Spec.Ingress {
		for _, p := range rule.Ports {
			open = append(open, p.Port)
		}
	}
	check.Equal(t, open, []int{8080, 8081}, "ports that others reach")
}

// The selectors of all objects select the servers' pods.
func TestKubernetesSelectors(t *testing.T) {
	all := manifests(t)
	labels := all["Deployment"].Spec.Template.Metadata.Labels
	selectors := map[string]any{"Service": all["Service"].Spec.Selector,
		"Deployment":          all["Deployment"].Spec.Selector["matchLabels"],
		"PodDisruptionBudget": all["PodDisruptionBudget"].Spec.Selector["matchLabels"],
		"NetworkPolicy":       all["NetworkPolicy"].Spec.PodSelector["matchLabels"]}
	for kind, selector := range selectors {
		wanted, ok := selector.(map[string]any)
		if !ok || len(wanted) == 0 {
			t.Errorf("selector of %s: got %v, want labels", kind, selector)
		}
		for name, value := range wanted {
			check.Equal(t, any(labels[name]), value, "label %s, which %s selects", name, kind)
		}
	}
	if all["Job"].Spec.Template.Metadata.Labels["app.kubernetes.io/component"] ==
		labels["app.kubernetes.io/component"] {
		t.Error("labels of the Job's pod: got those of servers, want it out of the Service")
	}
}

// The pods of both follow the restricted profile of Pod Security Standards, and can read their secrets.
func TestKubernetesPodsAreRestricted(t *testing.T) {
	all := manifests(t)
	no := false
	for _, kind := range []string{"Deployment", "Job"} {
		pod := all[kind].Spec.Template.Spec
		c := pod.Containers[0]
		s := pod.SecurityContext
		check.Equal(t, s.RunAsNonRoot && s.RunAsUser == 65532 && s.FSGroup == 65532, true, "user of the %s", kind)
		check.Equal(t, s.SeccompProfile.Type, "RuntimeDefault", "seccomp profile of the %s", kind)
		check.Equal(t, c.SecurityContext.AllowPrivilegeEscalation, &no, "privilege escalation in the %s", kind)
		check.Equal(t, c.SecurityContext.ReadOnlyRootFilesystem, true, "read-only files in the %s", kind)
		check.Equal(t, c.SecurityContext.Capabilities.Drop, []string{"ALL"}, "capabilities of the %s", kind)
		check.Equal(t, pod.AutomountServiceAccountToken, &no, "token of the service account in the %s", kind)
		check.Equal(t, pod.EnableServiceLinks, &no, "variables of Services in the %s", kind)
		check.Equal(t, pod.ServiceAccountName, all["ServiceAccount"].Metadata.Name, "service account of the %s", kind)
		check.Equal(t, c.EnvFrom[0].ConfigMapRef.Name, all["ConfigMap"].Metadata.Name, "settings of the %s", kind)
		check.Equal(t, c.Resources.Requests["memory"] != "" && c.Resources.Limits["memory"] != "", true,
			"whether the memory of the %s has limits", kind)
		check.Equal(t, pod.Volumes[0].Secret.SecretName, "latchkey", "secret of the %s", kind)
		check.Equal(t, pod.Volumes[0].Secret.DefaultMode, 0o440, "mode of the secrets of the %s", kind)
		check.Equal(t, c.VolumeMounts[0].Name, pod.Volumes[0].Name, "volume of the %s", kind)
		for _, name := range []string{"LATCHKEY_DATABASE_URL_FILE", "LATCHKEY_KEY_FILE"} {
			check.Equal(t, filepath.Dir(all["ConfigMap"].Data[name]), c.VolumeMounts[0].MountPath, "folder of %s", name)
		}
	}
	check.Equal(t, all["Namespace"].Metadata.Labels["pod-security.kubernetes.io/enforce"], "restricted", "profile")
}

func TestKubernetesCheckRefuses(t *testing.T) {
	const file = "kubernetes/deployment.yaml"
	for _, tc := range []struct{ name, text, with string }{
		{"an unknown field", "terminationGracePeriodSeconds", "terminationGraceSeconds"},
		{"a field in the wrong place", "  replicas: 2", "replicas: 2"},
		{"a value of another type", "replicas: 2", "replicas: two"},
		{"a wrong quantity", "memory: 256Mi", "memory: 256MiB"},
		{"a field twice", "  replicas: 2", "  replicas: 2\n  replicas: 3"},
		{"an unknown kind", "kind: Deployment", "kind: Deploy"},
	} {
		var nothing any
		if err := deploycheck(t, &nothing, "kubernetes", changed(t, file, tc.text, tc.with)); err == nil {
			t.Errorf("%s: got no error, want one", tc.name)
		}
	}
}
