"""Write `sentences.txt`: 6,000 short English sentences from a small probabilistic grammar.

    python data/make_sentences.py > data/sentences.txt

The grammar gives a model of words something to learn that the word before does not tell: verbs agree with a subject
that may stand a whole clause away, bakers bake and sailors sail, animals live where they belong, and `yesterday` asks
for the past. Words early in a list are more frequent, with weights as Zipf's law has them.
"""

import random

COUNT = 6000
SEED = 1
LENGTHS = range(3, 13)  # words of a sentence

TRADES = {  # who: (people, what they do to things, things, where)
    "food": (
        "cook baker waiter chef butcher",
        "serve bake taste sell prepare slice",
        "bread soup cake pie cheese rice honey salad butter porridge jam pasta",
        "in the kitchen,at the market,in the bakery,at the inn",
    ),
    "farm": (
        "farmer gardener shepherd miller",
        "plant pick water sell harvest weigh",
        "apple carrot potato onion pear cabbage plum bean pumpkin cherry tomato",
        "in the field,on the farm,in the garden,behind the barn,in the orchard",
    ),
    "music": (
        "singer pianist drummer violinist dancer",
        "play practise tune hear rehearse carry",
        "song piano violin drum flute guitar waltz trumpet melody harp",
        "in the theatre,in the hall,on the stage,at the concert",
    ),
    "school": (
        "teacher student writer librarian poet professor",
        "read write study borrow copy explain",
        "book letter story poem lesson novel map diary essay dictionary",
        "at school,in the library,in the classroom,at the desk",
    ),
    "sea": (
        "sailor fisherman captain pirate",
        "sail steer paint repair anchor clean",
        "boat ship raft ferry canoe yacht",
        "in the harbour,on the lake,near the island,at the pier,on the sea",
    ),
    "craft": (
        "carpenter painter smith mason builder",
        "build repair paint polish measure move",
        "chair table door fence wall window roof ladder cupboard bridge",
        "in the workshop,at the mill,in the village,behind the house",
    ),
    "cloth": (
        "tailor weaver seamstress shoemaker",
        "mend sew wash fold iron design",
        "shirt coat dress hat scarf glove blanket jacket curtain boot",
        "in the shop,in the attic,at the window,by the fire",
    ),
    "road": (
        "driver mechanic postman policeman",
        "drive stop repair park wash follow",
        "car bus truck taxi bicycle van tractor motorcycle",
        "in the city,on the road,at the station,in the garage,in the street",
    ),
}
ANIMALS = {  # where they belong: (animals, what they do, what they eat, where)
    "farm": (
        "cow horse goat hen pig donkey lamb",
        "sleep stand rest graze",
        "grass hay corn clover oats",
        "in the barn,in the field,on the farm,behind the fence",
    ),
    "home": (
        "dog cat mouse kitten puppy rabbit parrot",
        "sleep play hide wait",
        "meat cheese milk fish",
        "on the sofa,under the table,by the fire,in the kitchen,on the stairs",
    ),
    "water": (
        "duck fish swan frog otter turtle",
        "swim dive float splash",
        "worm weed snail shrimp",
        "in the pond,in the river,on the lake,under the bridge",
    ),
    "forest": (
        "fox wolf bear deer squirrel badger hedgehog",
        "hunt hide run wander",
        "berry nut mushroom acorn",
        "in the forest,near the cave,under the oak,behind the hill",
    ),
    "sky": (
        "bird crow eagle owl sparrow swallow robin",
        "fly sing nest circle",
        "seed insect crumb beetle",
        "over the hill,in the tree,on the roof,above the valley",
    ),
    "hot": (
        "lion elephant monkey tiger camel zebra giraffe",
        "roar roam rest drink",
        "leaf fruit banana melon",
        "in the jungle,at the waterhole,in the desert,under the sun",
    ),
}
NAMES = "anna ben clara david emma felix grace henry ida jack kate leo mary noah olga peter rose sam tina victor"
TRAITS = "old young happy tired clever quiet hungry brave kind proud busy shy lazy careful famous cheerful"
LOOKS = "small big hungry brown young wild old white quick tired noisy grey sleepy tame thirsty spotted"
QUALITIES = {
    "food": "warm fresh sweet good cold delicious",
    "farm": "ripe fresh green sweet large rotten",
    "music": "old loud sad beautiful new soft",
    "school": "long new short difficult funny old",
    "sea": "old wooden little fast broken blue",
    "craft": "old heavy wooden broken new tall",
    "cloth": "warm red blue new thick torn",
    "road": "old fast red new slow yellow",
}
MASS = (
    "bread soup cheese rice honey salad butter porridge jam pasta grass hay corn clover oats meat milk fish weed fruit"
)
PAST = {
    "sell": "sold", "write": "wrote", "read": "read", "hear": "heard", "build": "built", "drive": "drove",
    "sleep": "slept", "stand": "stood", "swim": "swam", "run": "ran", "fly": "flew", "sing": "sang", "drink": "drank",
    "eat": "ate", "feed": "fed", "see": "saw", "hide": "hid", "find": "found", "stop": "stopped",
}  # fmt: skip
PLURAL = {
    "mouse": "mice",
    "deer": "deer",
    "fish": "fish",
    "wolf": "wolves",
    "leaf": "leaves",
    "piano": "pianos",
    "shrimp": "shrimp",
}
PLURAL |= {"fisherman": "fishermen", "postman": "postmen", "policeman": "policemen", "scarf": "scarves"}
NOW = "every day,every morning,today,in the evening,on sundays,all day,again"
THEN = "yesterday,last week,last night,in the morning,last summer,long ago"
HOMES = "near the river,in the village,by the sea,behind the church,in the city,on the hill,near the forest"

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
