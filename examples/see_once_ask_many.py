"""See a CT once and ask many questions: each continues from a copy of the carried state.

python examples/see_once_ask_many.py
"""

from pathlib import Path

from longllava_domains import ct, load_model


def main() -> None:
    """Open one session on the phantom, score three questions and hold a short conversation."""
    volume = ct.open_volume(Path(__file__).parent / "chest_phantom")
    views = volume.to_sequence(ct.SlicePolicy(count=4, windows="lung", view_px=336))
    model = load_model("demo", dtype="float32")
    with model.open(views) as session:
        for finding in ("a lung nodule", "a pleural effusion", "emphysema"):
            yes, no = session.score(f"Is there {finding}?", ("Yes", "No"))
            print(f"{finding}: margin {yes.sum_logprob - no.sum_logprob:+.3f}")
        other = session.fork()
        print(session.ask("What do the slices show?", max_new_tokens=8).text)
        print(other.ask("Is the heart enlarged?", max_new_tokens=8).text)


if __name__ == "__main__":
    main()
