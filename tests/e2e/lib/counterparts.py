"""What each page of the administration asks, and what the command line can ask.

Read from the sources, so that a new page or verb is in it by itself: which
verbs of accountd and of the runner stand in the functions that a route's
handler leads to, and in the command line's programs."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TEXT = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
FUNCTION = re.compile(r"^(\w+)\((?:[^;{]*)\)\n\{\n(.*?)^\}", re.S | re.M)
TABLE = re.compile(r"^(?:static )?const struct [^;]*?(\w+)(?:\[\w*\])? = \{\n"
                   r"(.*?)^\}", re.S | re.M)


def source(path):
    return re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)


def verbs():
    """Of accountd those that administrators may ask; the runner's."""
    rows = re.findall(r'\{ "([a-z -]+)",\s*([A-Z_| ]+), RIGHT',
                      source(ROOT / "accountd/verbs.c"))
    accountd = {name for name, who in rows
                if {"STAFF", "ALL", "WEB", "FROM_ADMIN", "FROM_MAILSTEAD"} & set(who.split())}
    runner = set()
    for name in ("control_verbs.c", "control_acts.c", "tools.c"):
        runner |= set(re.findall(r'\{ "(\w+)", \w+_',
                                 source(ROOT / "queue" / name)))
    return accountd, runner


class Program:
    """The functions and tables of a folder, each by file and name."""

    def __init__(self, folder):
        self.bodies = {}
        for path in sorted((ROOT / folder).glob("*.c")):
            text = source(path)
            for rows in (FUNCTION, TABLE):
                for name, body in rows.findall(text):
                    self.bodies[path.name, name] = body
        self.homes = {}
        for file, name in self.bodies:
            self.homes.setdefault(name, set()).add(file)

    def reached(self, handler):
        """(file, text) of every text that the handler may use."""
        todo = [(file, handler) for file in self.homes.get(handler, ())]
        seen, found = set(), set()
        while todo:
            node = todo.pop()
            if node in seen:
                continue
            seen.add(node)
            file, body = node[0], self.bodies[node]
            found |= {(file, text) for text in TEXT.findall(body)}
            for word in set(re.findall(r"\b[a-z]\w+", TEXT.sub("", body))):
                homes = self.homes.get(word, set())
                if file in homes:
                    todo.append((file, word))
                elif len(homes) == 1:
                    todo += [(home, word) for home in homes]
        return found


def asked(texts, talks_to_runner):
    """Names of verbs among (file, text): the runner's as "runner X"."""
    accountd, runner = verbs()
    out = {text for _, text in texts if text in accountd}
    return out | {f"runner {text}" for file, text in texts
                  if text in runner and file in talks_to_runner}


def of_pages():
    """{(method, path): verbs its handler may ask}."""
    program = Program("admin-cgi")
    talking = {file for file, body in (
        (node[0], body) for node, body in program.bodies.items())
        if re.search(r"\brunner_(ask|need|start)\(", body)}
    routes = re.findall(r'\{ WEB_(GET|POST), +"([^"]+)",.*?(\w+) \},',
                        source(ROOT / "admin-cgi/app.c"))
    return {(method, path): asked(program.reached(handler), talking)
            for method, path, handler in routes}


def of_the_command_line():
    texts, talking = set(), set()
    for path in sorted((ROOT / "mailstead").glob("*.c")) + [
            ROOT / "common/directory/user_csv.c"]:
        text = source(path)
        texts |= {(path.name, one) for one in TEXT.findall(text)}
        if re.search(r"\b(ask_runner|tool_run|run)\(", text):
            talking.add(path.name)
    return asked(texts, talking)
