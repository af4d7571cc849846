package panel

import "strings"

// browserOf names the browser and the operating system of a User-Agent header (RFC 9110, section 10.1.5), each
// empty if it is unknown. Browsers also list the browsers that they are compatible with, so the order of the lists
// counts.
func browserOf(agent string) (browser, system string) {
	browsers := [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	}
	systems := [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"},
		{"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
	return firstIn(agent, browsers), firstIn(agent, systems)
}

// firstIn returns the name of the first mark that occurs in text, or "".
func firstIn(text string, named [][2]string) string {
	for _, each := range named {
		if strings.Contains(text, each[0]) {
			return each[1]
		}
	}
	return ""
}
