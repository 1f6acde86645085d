"""Chatting in a terminal: lines are questions, and what begins with a slash is a command.

A path that is typed as words would be words to the LLM, whose answer would pretend to have looked:
whether the file is meant is asked back.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from polysense.errors import PolysenseError, unknown_name
from polysense.modalities.sources.source_string import is_file
from polysense.serving.terminal_chat import MODALITY_AND_FILE, Conversation, file_of

HELP = """\
/add FILE   show a file with your next question; audio:FILE says which modality reads it
/files      which files wait for your next question
/reset      forget the conversation
/help       this list
An empty line or Ctrl-D ends. Anything else is asked."""
COMMANDS = tuple(line.split()[0] for line in HELP.splitlines() if line.startswith("/"))


class Chat:
    """A conversation at the terminal: `waiting` are the files for the next question."""

    def __init__(self, conversation: Conversation, files: Sequence[str] = ()) -> None:
        self.conversation, self.waiting = conversation, list(files)

    def take(self, line: str) -> None:
        """Do what a line says: a command, or a question."""
        if line.startswith("/") and not is_file(line):
            self.command(*line.partition(" ")[::2])
            return
        named = typed_files(line)
        meant = [word for word in named if self.is_meant(word)]
        self.waiting += meant
        if meant and line in meant:
            tell("Type your question about it.")
            return
        files, self.waiting = self.waiting, []
        self.conversation.ask(line, files)

    def command(self, name: str, rest: str) -> None:
        """Run a command of `HELP`."""
        rest = unquoted(rest)
        if name == "/add" and rest:
            if file_of(rest) is None:
                raise PolysenseError(f"file {rest!r} does not exist")
            self.waiting.append(rest)
        elif name == "/files":
            tell("\n".join(self.waiting) or "no file waits; /add FILE adds one")
        elif name == "/reset":
            self.conversation.reset()
            self.waiting = []
        elif name == "/help" or name in COMMANDS:
            tell(HELP)
        else:
            raise unknown_name("command", name, COMMANDS)

    def is_meant(self, word: str) -> bool:
        """Ask back whether a file that was typed as words is to be shown."""
        try:
            said = input(f"{word} is a file here: /add {word}? [Y/n] ")
        except EOFError:
            return False
        return said.strip().lower() in ("", "y", "yes")


def typed_files(line: str) -> list[str]:
    """Return what in a line names a file that is there: all of it, or some of its words."""
    if names_file(unquoted(line)):
        return [unquoted(line)]
    words = (unquoted(word.strip(",;?!()")) for word in line.split())
    return [word for word in dict.fromkeys(words) if Path(word).suffix and names_file(word)]


def names_file(word: str) -> bool:
    """Whether a word is an existing file's, or "audio:FILE" is."""
    named = MODALITY_AND_FILE.fullmatch(word)
    return is_file(word) or bool(named and is_file(named[2]))


def unquoted(word: str) -> str:
    """Return a word without the quotes around it, as shells and file managers put them."""
    word = word.strip()
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def tell(text: str) -> None:
    """Say what is no answer, on standard error."""
    print(text, file=sys.stderr)


def chat(conversation: Conversation, files: Sequence[str]) -> None:
    """Read lines from the terminal until an empty one or end of file."""
    tell("Type a question. /add FILE shows a file with it, /help lists what else there is.")
    talk = Chat(conversation, files)
    while True:
        try:
            line = input("you> ").strip()
        except EOFError:
            return
        if not line:
            return
        try:
            talk.take(line)
        except PolysenseError as error:
            tell(f"polysense: {error}")
