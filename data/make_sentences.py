"""Write `sentences.txt`: 6,000 short English sentences from a small probabilistic grammar.

    python data/make_sentences.py > data/sentences.txt

The grammar gives a model of words something to learn that the word before does not tell: verbs agree with a subject
that may stand a whole clause away, bakers bake and sailors sail, animals live where they belong, and `yesterday` asks
for the past. Items early in a list are more frequent, with weights as Zipf's law has them.
"""

import random

from lexicon import ANIMALS, HOMES, LOOKS, MASS, NAMES, NOW, PAST, PLURAL, QUALITIES, THEN, TRADES, TRAITS

COUNT = 6000
SEED = 1
LENGTHS = range(3, 13)  # words of a sentence


draw = random.Random(SEED)


def pick(choices):
    """One of a list, or of what commas, else spaces, separate in a string, with weights falling as 1 / rank."""
    if isinstance(choices, str):
        choices = choices.split("," if "," in choices else None)
    return draw.choices(choices, [1 / (rank + 1) for rank in range(len(choices))])[0]


def chance(probability):
    """True with this probability."""
    return draw.random() < probability


def with_s(word):
    """Plural of a noun, or third person of a verb."""
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh", "o")) else "s")


def past(verb):
    """Past tense of a verb."""
    if verb in PAST:
        return PAST[verb]
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + ("d" if verb.endswith("e") else "ed")


def article(phrase, plural):
    """The phrase with a determiner that fits it."""
    if plural:
        return f"{pick('the some two these three many')} {phrase}"
    word = pick("the a this every")
    return f"{'an' if word == 'a' and phrase[0] in 'aeiou' else word} {phrase}"


def thing(nouns, qualities=""):
    """An object: with an article or, as food may be, without."""
    noun = pick(nouns)
    plural = noun not in MASS.split() and chance(0.4)
    phrase = PLURAL.get(noun, with_s(noun)) if plural else noun
    if qualities and chance(0.35):
        phrase = f"{pick(qualities)} {phrase}"
    if noun in MASS.split():
        return phrase if chance(0.5) else f"the {phrase}"
    return article(phrase, plural)


def subject(nouns, adjectives, homes):
    """A noun phrase and whether it is plural; what may stand between it and its verb does not change that."""
    noun, plural = pick(nouns), chance(0.4)
    phrase = PLURAL.get(noun, with_s(noun)) if plural else noun
    phrase = article(f"{pick(adjectives)} {phrase}" if chance(0.3) else phrase, plural)
    if homes and chance(0.15):
        phrase += f" who {'live' if plural else 'lives'} {pick(homes)}"
    return phrase, plural


def said(verb, plural, tense):
    """The verb as it follows its subject."""
    if tense == "past":
        return f"did not {verb}" if chance(0.1) else past(verb)
    if tense == "future":
        return f"will {verb}"
    if chance(0.1):
        return f"{'do' if plural else 'does'} not {verb}"
    return verb if plural else with_s(verb)


def person():
    """A trade, someone of it, and whether they are several; a name can stand for anyone."""
    trade = pick(list(TRADES))
    if chance(0.2):
        several = chance(0.2)
        who = " and ".join(draw.sample(NAMES.split(), 2)) if several else pick(NAMES)
        return trade, who, several
    return (trade, *subject(TRADES[trade][0], TRAITS, HOMES))


def work(tense):
    """A person at work: the thing fits the verb, both and the place fit the trade."""
    trade, who, plural = person()
    _, verbs, things, places = TRADES[trade]
    place = f" {pick(places)}" if chance(0.5) else ""
    return f"{who} {said(pick(verbs), plural, tense)} {thing(things, QUALITIES[trade])}{place}"


def nature(tense):
    """An animal that eats, or does what it does where it belongs."""
    animals, verbs, food, places = ANIMALS[pick(list(ANIMALS))]
    who, plural = subject(animals, LOOKS, None)
    place = pick(places)
    if chance(0.15):
        who += f" {place}"  # stands between subject and verb
    if chance(0.4):
        return f"{who} {said('eat', plural, tense)} {thing(food)}"
    return f"{who} {said(pick(verbs), plural, tense)}{'' if place in who else f' {place}'}"


def meeting(tense):
    """A person and an animal."""
    _, who, plural = person()
    animals, _, _, places = ANIMALS[pick(list(ANIMALS))]
    place = f" {pick(places)}" if chance(0.6) else ""
    return f"{who} {said(pick('see feed find watch follow'), plural, tense)} {subject(animals, LOOKS, None)[0]}{place}"


def state(tense):
    """What somebody or something is like."""
    if chance(0.5):
        _, who, plural = person()
        trait = pick(TRAITS)
    else:
        who, plural = subject(ANIMALS[pick(list(ANIMALS))][0], LOOKS, None)
        trait = pick(LOOKS)
    be = {"past": "were" if plural else "was", "future": "will be"}.get(tense, "are" if plural else "is")
    return f"{who} {be} {pick(['', 'very', 'not', 'too'])} {trait}"


def sentence():
    """A clause in one tense, with a time that fits it."""
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
