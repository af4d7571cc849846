package panel

import "slices"

// locale is a choice of a user's language: its tag, and its name in that language.
type locale struct{ Tag, Name string }

// locales are the languages that forms offer, by name. The API accepts any language tag.
var locales = []locale{
	{"id", "Bahasa Indonesia"}, {"cs", "Čeština"}, {"da", "Dansk"}, {"de", "Deutsch"}, {"en", "English"},
	{"en-GB", "English (United Kingdom)"}, {"en-US", "English (United States)"}, {"es", "Español"},
	{"es-MX", "Español (México)"}, {"fr", "Français"}, {"fr-CA", "Français (Canada)"}, {"it", "Italiano"},
	{"hu", "Magyar"}, {"nl", "Nederlands"}, {"nb", "Norsk bokmål"}, {"pl", "Polski"}, {"pt", "Português"},
	{"pt-BR", "Português (Brasil)"}, {"ro", "Română"}, {"fi", "Suomi"}, {"sv", "Svenska"}, {"vi", "Tiếng Việt"},
	{"tr", "Türkçe"}, {"el", "Ελληνικά"}, {"bg", "Български"}, {"uk", "Українська"}, {"he", "עברית"},
	{"ar", "العربية"}, {"hi", "हिन्दी"}, {"th", "ไทย"},
	{"ko", "한국어"}, {"ja", "日本語"}, {"zh-CN", "简体中文"}, {"zh-TW", "繁體中文"},
}

// languageName returns the name of the language with a tag, or the tag itself if forms do not offer it.
func languageName(tag string) string {
	if i := slices.IndexFunc(locales, func(l locale) bool { return l.Tag == tag }); i >= 0 {
		return locales[i].Name
	}
	return tag
}

// Locales returns the languages to choose from. If the user has another one, it is the first choice, so that saving the
// form does not change it.
func (f *form) Locales() []locale {
	value := f.Value("locale")
	if slices.ContainsFunc(locales, func(l locale) bool { return l.Tag == value }) {
		return locales
	}
	return append([]locale{{value, value}}, locales...)
}
