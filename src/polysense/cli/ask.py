"""`polysense ask`: a question about files, or a conversation."""

from __future__ import annotations

import argparse

from polysense.cli.load_run import add_run, load
from polysense.cli.options import count
from polysense.errors import PolysenseError


def add_ask(command: argparse.ArgumentParser) -> None:
    """Add what `ask` takes."""
    add_run(command)
    command.add_argument(
        "words",
        nargs="*",
        metavar="FILE|TEXT ... QUESTION",
        help="files and words in any order, the question last; imu:FILE says which modality reads "
        "a file, as walk.imu.csv does; image=a.png,depth=b.png is one signal of several files",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="MODALITY.OPTION=VALUE",
        dest="settings",
        help="read files otherwise, like fmri.mask=brain.nii.gz; may be repeated",
    )
    command.add_argument(
        "--example",
        nargs=2,
        action="append",
        default=[],
        metavar=("FILE", "ANSWER"),
        dest="examples",
        help="the right answer for another file, shown first; may be repeated",
    )
    command.add_argument("--chat", action="store_true", help="go on talking")
    command.add_argument("--max-new-tokens", type=count, default=64)
    command.set_defaults(act=ask_command)


def ask_command(arguments: argparse.Namespace) -> None:
    """Answer a question about files, or hold a conversation."""
    from polysense.modalities import with_settings
    from polysense.serving.chat import chat
    from polysense.serving.terminal_chat import Conversation, file_of, split_words

    shown, question = split_words(arguments.words)
    if not question and not arguments.chat:
        raise PolysenseError('no question: polysense ask RUN image.png "What is this?"')
    for word in (*shown, *(word for word, _ in arguments.examples)):
        file_of(word)  # a file that is not there is an error before anything is loaded
    model, processor = load(arguments)
    processor.modalities = with_settings(processor.modalities, arguments.settings)
    conversation = Conversation(model, processor, arguments.max_new_tokens)
    for word, answer in arguments.examples:
        conversation.add_example(question, word, answer)
    if question:
        conversation.ask(question, shown)
        shown = []
    if arguments.chat:
        chat(conversation, shown)
