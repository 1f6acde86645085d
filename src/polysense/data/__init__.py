"""Records to prompts to batches; the processor that users meet."""

# As in model/: importing transformers imports modules of this folder.
import transformers as transformers
