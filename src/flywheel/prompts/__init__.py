"""How a conversation becomes a prompt, and how a model's text becomes an answer: once, for everybody.

Training, serving and evaluation must agree to the token on what a model reads and on what its words mean;
a student that is trained on one rendering and served with another looks stupid for no visible reason. So
the chat template and the parsers live here and nowhere else. Pure functions: no torch, no transformers; the
tokenizer (any Hugging Face fast tokenizer with a chat template) is handed in.
"""

from flywheel.prompts.answers import Answer, Call, family_of, parse_answer
from flywheel.prompts.errors import PromptError
from flywheel.prompts.render import (
    ChatTokenizer,
    prompt_ids,
    prompt_text,
    template_messages,
    training_example,
)

__all__ = [
    "Answer",
    "Call",
    "ChatTokenizer",
    "PromptError",
    "family_of",
    "parse_answer",
    "prompt_ids",
    "prompt_text",
    "template_messages",
    "training_example",
]
