from longllava_domains.prompt import Mark, Prompt


def test_adjacent_texts_are_joined_because_tokens_merge_across_them() -> None:
    assert Prompt(("</img>", "", "<img>", Mark.IMAGE, "")).pieces == ("</img><img>", Mark.IMAGE)


def test_the_text_shows_marks_as_people_know_them() -> None:
    prompt = Prompt((Mark.BOS, "a", Mark.IMAGE, "b", Mark.EOS))
    assert prompt.text == "<|startoftext|>a<image>b<|endoftext|>"
    assert prompt.image_count == 1


def test_prompts_that_read_alike_but_tokenise_apart_have_different_hashes() -> None:
    control, typed = Prompt((Mark.EOS,)), Prompt(("<|endoftext|>",))
    assert control.text == typed.text
    assert control.sha256() != typed.sha256()
    assert control.sha256() == Prompt((Mark.EOS,)).sha256()


def test_a_prompt_splits_after_its_last_view() -> None:
    prefix, suffix = Prompt((Mark.BOS, "a", Mark.IMAGE, "b", Mark.IMAGE, "c")).split()
    assert prefix.pieces == (Mark.BOS, "a", Mark.IMAGE, "b", Mark.IMAGE)
    assert suffix.pieces == ("c",)


def test_a_prompt_without_views_is_all_suffix() -> None:
    prefix, suffix = Prompt((Mark.BOS, "a")).split()
    assert prefix.pieces == ()
    assert suffix.pieces == (Mark.BOS, "a")
