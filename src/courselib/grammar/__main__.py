"""python -m courselib.grammar: what the grammar holds, and ten of its sentences."""

from courselib.grammar import load_grammar

grammar = load_grammar()
verbs = ", ".join(f"{len(grammar.language(code).verbs)} verbs in {code}" for code in grammar.languages)
print(f"{verbs}: {grammar.n_verb_forms} verb forms; {len(grammar.words())} words with the full stop\n")
print("\n".join(grammar.corpus(10, seed=1)))
