"""Makes tokens_tiny.json: a small byte-level tokenizer like LLaMA 3's, a small vocabulary like CLIP's, and their tokens.

Run in this folder with `transformers` and `tokenizers` installed. The engine's tokenizers must give the same tokens.
"""

import json

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CLIPTokenizer, PreTrainedTokenizerFast

CORPUS = ["a maze of red rooms and a red door", "the player walks through the maze", "Über den Häusern, it's 3 o'clock"] * 3
TEXTS = [
    "a red maze",
    "  The PLAYER's\t\n door,  it's 123 <b>!! ",
    "Über naïve 迷路 🙂",
    "",
    "the player walks through the red rooms of the maze and a red door and the maze",
]
LENGTH = 12


def llama():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"])
    begin = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", begin)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def clip():
    """A vocabulary of letters and of a few words, with the merges that make them."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("r", "e"), ("re", "d</w>"), ("m", "a"), ("z", "e</w>"), ("ma", "ze</w>"), ("t", "h"), ("th", "e</w>")]
    tokens = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
    vocabulary = {token: at for at, token in enumerate(tokens + ["<|startoftext|>", "<|endoftext|>"])}
    return vocabulary, merges


def main():
    tokenizer = llama()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    vocabulary, merges = clip()
    reference = CLIPTokenizer(vocab=vocabulary, merges=merges)
    cases = []
    for text in TEXTS:
        wrapped = f"<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>"
        options = dict(max_length=LENGTH, truncation=True)
        cases.append(
            {
                "text": text,
                "llama": fast(wrapped)["input_ids"],
                "llama_cut": fast(wrapped, **options)["input_ids"],
                "clip": reference(text, max_length=77, truncation=True)["input_ids"],
                "clip_cut": reference(text, **options)["input_ids"],
            }
        )
        print(cases[-1])
    tokens = {
        "llama": json.loads(tokenizer.to_str()),
        "clip_vocabulary": vocabulary,
        "clip_merges": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges),
        "cut": LENGTH,
        "cases": cases,
    }
    with open("tokens_tiny.json", "w", encoding="utf-8") as file:
        json.dump(tokens, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
