"""Words and phrases of `make_sentences.py`, the frequent ones first."""

TRADES = {  # trade: (professions, verbs, objects, places)
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
ANIMALS = {  # habitat: (animals, verbs, food, places)
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
