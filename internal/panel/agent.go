package panel

import "strings"

// browserOf says in words what calls itself so (RFC 9110, section 10.1.5): the
// browser's name and the system's, each empty where it is not known. Browsers
// name others whom they resemble, so the order counts.
func browserOf(agent string) (browser, system string) {
	browsers := [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	}
	systems := [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
	return firstIn(agent, browsers), firstIn(agent, systems)
}

// firstIn is the name that goes with the first of the marks that a text has.
func firstIn(text string, named [][2]string) string {
	for _, each := range named {
		if strings.Contains(text, each[0]) {
			return each[1]
		}
	}
	return ""
}
