"""Catalogues of webmail: each language has every text of the English one, with
the same placeholders and its own plural forms; pages ask for no other key."""

import json
import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT / "common/web/pages"
OWN = ROOT / "webmail-cgi/pages"
# CLDR's plural categories; "n" must be said in the ones that stand for many
FORMS = {"en": {"one", "other"},
         "ar": {"zero", "one", "two", "few", "many", "other"}}
SAY_N = {"few", "many", "other"}


def catalogue(lang):
    texts = {}
    for top in (SHARED, OWN):
        for file in sorted(top.glob(f"lang/**/{lang}.json")):
            texts.update(json.loads(file.read_text()))
    return texts


def holes(text):
    return set(re.findall(r"\{([a-z]+)\}", text))


class Languages(unittest.TestCase):
    def setUp(self):
        self.english = catalogue("en")

    def test_every_text_is_translated(self):
        langs = {f.stem for f in OWN.glob("lang/**/*.json")}
        self.assertEqual(langs, set(FORMS))
        for lang in langs - {"en"}:
            own = catalogue(lang)
            self.assertEqual(set(self.english) - set(own), set(), lang)
            self.assertEqual(set(own) - set(self.english), set(), lang)

    def test_placeholders_and_plurals(self):
        for lang, forms in FORMS.items():
            for key, text in catalogue(lang).items():
                english = self.english[key]
                self.assertIs(type(text), type(english), f"{lang} {key}")
                if isinstance(text, str):
                    self.assertEqual(holes(text), holes(english),
                                     f"{lang} {key}")
                    self.assertEqual(bool(text.strip()),
                                     bool(english.strip()), f"{lang} {key}")
                    continue
                self.assertEqual(set(text), forms, f"{lang} {key}")
                wanted = holes(english["other"])
                for form, words in text.items():
                    need = wanted if form in SAY_N else wanted - {"n"}
                    self.assertEqual(holes(words) - {"n"}, need - {"n"},
                                     f"{lang} {key} {form}")
                    self.assertLessEqual(need, holes(words),
                                         f"{lang} {key} {form}")

    def test_pages_ask_for_what_there_is(self):
        for top in (SHARED, OWN):
            for page in top.glob("templates/*.html"):
                for key in re.findall(r'\{\{t "([^"]+)"', page.read_text()):
                    self.assertIn(key, self.english, page.name)


if __name__ == "__main__":
    unittest.main()
