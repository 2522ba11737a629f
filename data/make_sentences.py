"""Write `sentences.txt`: 6,000 short English sentences from a small probabilistic grammar.

    python data/make_sentences.py > data/sentences.txt

A model of words can learn more from the sentences than from pairs of words. A verb agrees with a subject that may stand
a clause away, bakers bake and sailors sail, animals live in their habitats, and `yesterday` takes the past tense. Early
entries of a list are more frequent, with weights by Zipf's law.
"""

import random

from lexicon import ANIMALS, HOMES, LOOKS, MASS, NAMES, NOW, PAST, PLURAL, QUALITIES, THEN, TRADES, TRAITS

COUNT = 6000
SEED = 1
LENGTHS = range(3, 13)  # words per sentence

rng = random.Random(SEED)


def pick(choices):
    """Choose from a list, or from a string separated by commas or else spaces, with weights of 1 / rank."""
    if isinstance(choices, str):
        choices = choices.split("," if "," in choices else None)
    return rng.choices(choices, [1 / (rank + 1) for rank in range(len(choices))])[0]


def chance(probability):
    """Return True with this probability."""
    return rng.random() < probability


def with_s(word):
    """Form the plural of a noun, or the third person of a verb."""
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh", "o")) else "s")


def past(verb):
    """Form the past tense of a verb."""
    if verb in PAST:
        return PAST[verb]
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + ("d" if verb.endswith("e") else "ed")


def article(phrase, plural):
    """Add a determiner in singular or plural."""
    if plural:
        return f"{pick('the some two these three many')} {phrase}"
    word = pick("the a this every")
    return f"{'an' if word == 'a' and phrase[0] in 'aeiou' else word} {phrase}"


def make_object(nouns, qualities=""):
    """Make an object, with an article, which is optional for a mass noun."""
    noun = pick(nouns)
    plural = noun not in MASS.split() and chance(0.4)
    phrase = PLURAL.get(noun, with_s(noun)) if plural else noun
    if qualities and chance(0.35):
        phrase = f"{pick(qualities)} {phrase}"
    if noun in MASS.split():
        return phrase if chance(0.5) else f"the {phrase}"
    return article(phrase, plural)


def make_subject(nouns, adjectives, homes):
    """Make a noun phrase, perhaps with a relative clause, and say whether the phrase is plural."""
    noun, plural = pick(nouns), chance(0.4)
    phrase = PLURAL.get(noun, with_s(noun)) if plural else noun
    phrase = article(f"{pick(adjectives)} {phrase}" if chance(0.3) else phrase, plural)
    if homes and chance(0.15):
        phrase += f" who {'live' if plural else 'lives'} {pick(homes)}"
    return phrase, plural


def conjugate(verb, plural, tense):
    """Conjugate a verb, sometimes negated."""
    if tense == "past":
        return f"did not {verb}" if chance(0.1) else past(verb)
    if tense == "future":
        return f"will {verb}"
    if chance(0.1):
        return f"{'do' if plural else 'does'} not {verb}"
    return verb if plural else with_s(verb)


def make_person():
    """Choose a trade and one or several people, by profession or by name; say whether they are plural."""
    trade = pick(list(TRADES))
    if chance(0.2):
        plural = chance(0.2)
        who = " and ".join(rng.sample(NAMES.split(), 2)) if plural else pick(NAMES)
        return trade, who, plural
    return (trade, *make_subject(TRADES[trade][0], TRAITS, HOMES))


def work(tense):
    """Make a clause about a person at work; verb, object and place belong to the trade."""
    trade, who, plural = make_person()
    _, verbs, things, places = TRADES[trade]
    place = f" {pick(places)}" if chance(0.5) else ""
    return f"{who} {conjugate(pick(verbs), plural, tense)} {make_object(things, QUALITIES[trade])}{place}"


def nature(tense):
    """Make a clause about an animal that eats, or moves in its habitat."""
    animals, verbs, food, places = ANIMALS[pick(list(ANIMALS))]
    who, plural = make_subject(animals, LOOKS, None)
    place = pick(places)
    if chance(0.15):
        who += f" {place}"  # stands between subject and verb
    if chance(0.4):
        return f"{who} {conjugate('eat', plural, tense)} {make_object(food)}"
    return f"{who} {conjugate(pick(verbs), plural, tense)}{'' if place in who else f' {place}'}"


def meeting(tense):
    """Make a clause about a person and an animal."""
    _, who, plural = make_person()
    animals, _, _, places = ANIMALS[pick(list(ANIMALS))]
    place = f" {pick(places)}" if chance(0.6) else ""
    verb = conjugate(pick("see feed find watch follow"), plural, tense)
    return f"{who} {verb} {make_subject(animals, LOOKS, None)[0]}{place}"


def state(tense):
    """Make a clause about a trait of a person or an animal."""
    if chance(0.5):
        _, who, plural = make_person()
        trait = pick(TRAITS)
    else:
        who, plural = make_subject(ANIMALS[pick(list(ANIMALS))][0], LOOKS, None)
        trait = pick(LOOKS)
    be = {"past": "were" if plural else "was", "future": "will be"}.get(tense, "are" if plural else "is")
    return f"{who} {be} {pick(['', 'very', 'not', 'too'])} {trait}"


def sentence():
    """Make a clause in one tense, sometimes with a time that fits the tense."""
    tense = pick(["present", "past", "future"])
    clause = pick([work, nature, meeting, state])(tense)
    time = "tomorrow" if tense == "future" else pick(THEN if tense == "past" else NOW)
    if chance(0.3):
        clause = f"{time} {clause}" if chance(0.4) else f"{clause} {time}"
    return " ".join(clause.split())


def main():
    """Print the sentences."""
    written = 0
    while written < COUNT:
        line = sentence()
        if len(line.split()) in LENGTHS:
            print(line)
            written += 1


if __name__ == "__main__":
    main()
