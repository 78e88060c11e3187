"""The language of scripted models; see ``infinity.models.script``."""

from infinity.models.prompt_view import EventView, PromptView, ResultView, read_prompt
from infinity.models.script import Reply, Script

__all__ = ["EventView", "PromptView", "Reply", "ResultView", "Script", "read_prompt"]
