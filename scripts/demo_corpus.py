"""Sentences of three fields that this project wrote itself: what the demo tokenizer is trained on.

Nothing is copied from a report, a data set or a web page. The words are the fields' own, so
that a finding, a diagnosis or a box text costs few tokens of the small vocabulary.
"""

import random
from collections.abc import Callable, Iterator

CT_FINDINGS = (
    "medical material", "arterial wall calcification", "cardiomegaly", "pericardial effusion",
    "coronary artery wall calcification", "hiatal hernia", "lymphadenopathy", "emphysema",
    "atelectasis", "lung nodule", "lung opacity", "pulmonary fibrotic sequela",
    "pleural effusion", "mosaic attenuation pattern", "peribronchial thickening",
    "consolidation", "bronchiectasis", "interlobular septal thickening",
)  # fmt: skip
CT_PLACES = (
    "right upper lobe", "right middle lobe", "right lower lobe", "left upper lobe", "lingula",
    "left lower lobe", "mediastinum", "liver", "spleen", "left kidney", "right kidney",
    "thoracic aorta", "trachea", "main bronchi", "pancreas", "gallbladder", "adrenal glands",
    "left ventricle", "vertebral body", "frontal lobe", "basal ganglia", "cerebellum",
)  # fmt: skip
CT_SENTENCES = (
    "There is {finding} in the {place}.",
    "No {finding} is seen.",
    "There is no evidence of {finding}.",
    "A {size} mm nodule is present in the {place}, on slice {number}.",
    "The {place} is unremarkable.",
    "The {place} is of normal size and density, {hu} Hounsfield units.",
    "Findings: {Finding} and mild {finding}. The {place} appears normal.",
    "Impression: {Finding} in the {place}. No acute abnormality elsewhere.",
    "Is there {finding}? Yes, in the {place}.",
    "Does this scan show {finding}? Answer yes or no. No.",
    "Which abnormalities are visible on this chest CT? {Finding}, {finding}.",
    "Describe the findings and the impression of this computed tomography study.",
    "Compared with the previous study, the {finding} is unchanged.",
    "Trachea and both main bronchi are open. The heart contour and size are normal.",
    "The slices are shown with a lung window, centre {hu}, width {number}.",
    "Write a radiology report with findings and impression.",
)
TISSUES = (
    "breast", "colon", "lung", "prostate", "skin", "liver", "kidney", "thyroid", "lymph node",
    "stomach", "bladder", "ovary", "cervix", "pancreas", "brain", "bone marrow",
)  # fmt: skip
DIAGNOSES = (
    "invasive ductal carcinoma", "invasive lobular carcinoma", "adenocarcinoma", "melanoma",
    "squamous cell carcinoma", "chronic inflammation", "necrosis", "fibrosis", "lymphoma",
    "lymphovascular invasion", "perineural invasion", "carcinoma in situ", "normal epithelium",
    "benign hyperplasia", "granuloma", "tumour infiltrating lymphocytes", "adipose tissue",
)  # fmt: skip
SLIDE_SENTENCES = (
    "This region of the {tissue} slide shows {diagnosis}.",
    "Is {diagnosis} present? {Yesno}.",
    "The stroma is infiltrated by {diagnosis} with {number} mitoses per high power field.",
    "Nuclei are enlarged, hyperchromatic and pleomorphic with prominent nucleoli.",
    "The section of {tissue} is stained with haematoxylin and eosin at 0.{digit} microns per pixel.",
    "Glands are well formed and lined by columnar cells; the margin is free of tumour.",
    "What is the diagnosis of this pathology image? {Diagnosis} of the {tissue}, grade {digit}.",
    "No {diagnosis} is identified in the tiles of this whole slide image.",
)
OBJECTS = (
    "ship", "small vehicle", "large vehicle", "plane", "helicopter", "harbor", "bridge",
    "storage tank", "tennis court", "basketball court", "baseball diamond", "soccer ball field",
    "ground track field", "swimming pool", "roundabout", "container crane", "airport", "helipad",
    "wind turbine", "solar panel", "building", "road", "river", "parking lot", "runway", "dock",
)  # fmt: skip
SCENES = (
    "residential area", "industrial area", "farmland", "forest", "meadow", "desert", "beach",
    "wetland", "commercial district", "port", "railway station", "mountain", "glacier", "lake",
)  # fmt: skip
RELATIONS = (
    "parked alongside", "docked at", "over", "next to", "within", "connected to", "inside",
    "adjacent to", "driving on", "parallel to", "supporting", "to the north of",
)  # fmt: skip
MAP_SENTENCES = (
    "There is 1 {thing} in the image: <rbox>({box})</rbox>.",
    "There are {digit} {thing}s in the image: <rbox>({box}, {box}, {box})</rbox>.",
    "There is no {thing} in the image.",
    "<ref>{thing}</ref><rbox>({box})</rbox> is <rel>{relation}</rel> <ref>{thing}</ref><rbox>({box})</rbox>.",
    "What is the category of this remote sensing image? It is a {scene}.",
    "How many {thing}s are there? Answer in one word or a short phrase. {digit}.",
    "The satellite image shows a {scene} with a {thing} {relation} the {scene}.",
    "Detect all {thing}s and give their rotated bounding boxes.",
    "Answer with all applicable classes separated by commas: {thing}, {thing}, {thing}.",
    "At a resolution of {digit}.{digit} metres per pixel the {scene} is clearly visible.",
    "Where is the {thing}? It is in the upper left corner, {relation} the {thing}.",
)
# What a user may say about any picture, and the tags and role strings around it.
COMMON_SENTENCES = (
    "<|User|> <img></img><img></img><img></img> What does the picture show? <|Assistant|>",
    "<vid><img></img><t><img></img><t><img></img></vid> What happens? <|Assistant|>",
    "<img> <img></img><img></img></img> Please describe the image in detail.",
    "Which image is the brightest? The first, second, third, fourth or last one.",
    "The image shows a white circle on a black background, on the left of a grey square.",
    "I cannot see it clearly, because the quality of the image is low.",
    "You must choose your answer from the choice list. A. B. C. D. E. Your answer is:",
    "Are these two images the same? No, they are different from each other.",
    "Can you compare this with what was said before, and tell me how large it would be?",
    "They have been here for more than one year; there were about {number} of them at that time.",
    "It is above, below, between, behind or in front of the other, on the right side.",
    "Thank you. Could you explain why, and when should we look again after that?",
    "{word} {word} {word} {word} {word} {word} {word} {word} {word} {word} {word} {word}",
    "{Word} {word} {word} {word} {word} {word} {word} {word}. {Word} {word} {word} {word}?",
)
# Everyday words, so that a plain question is not spelled letter by letter.
EVERYDAY = """
able across add address after all almost along already also although always among anatomy and
angle another anterior any appear around artery as aspect axial band base because become before
below best both bottom bowel bright bring but calcified call came cannot care case caused cell
change chest city clear close cloud coast colour column common complete contain contrast corner
correct cover crop cross dark data day dense depth detail diameter diffuse direction disease
distance distal do does done dose down draw during each early east edge either end enhanced enough
every examination example except expect extent eye face fact false far few field file fill final
find fine first flat focal follow form found free from full further general give given good great
green ground group grow had half hand hard has have head heart help here high history hour house
however human if important increased inferior injury inner intact into involved joint just keep
kind known land large late lateral layer least less lesion let level light like likely line list
little local location long look loss low lower made main make man many map mark mass material
maximum mean measure medial medium member mild minimal minor model moderate month more most move
much multiple muscle must name near need never new night node non none north not note nothing now
object observed often old once only open order organ other our out outer over oval own page part
partial partly past patchy patient pattern people per perhaps period person pixel plain plan plant
plaque point possible posterior pressure probably problem process proximal question quite range
rather read reason recent recommended red reduced reference region related remain report rest
result ring room rotated round row same scan school sea second section see seen series set several
severe shape sharp short should side sign signal simple since single site slice slide slight small
smooth soft solid some soon source south space spine stable stage start state step still stop
street strong structure study subject such suggest superior surface suspected symmetric system
table take task tell ten test text than that their them then these thick thin thing this those
though three through time tissue to together too top total toward town traffic tree true turn type
under unit until up upon upper urban use useful usual value vehicle vein vessel view visible wall
want was water wave way we week well went were west wet what when where whether which while white
who whole wide will wind with without wood word work world would year yellow yet you young zero
zone
"""


def sentences(seed: int, count: int) -> Iterator[str]:
    """Yield invented sentences: the same for the same seed, on every machine.

    Args:
        seed: Of the choices.
        count: How many sentences.
    """
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    words = EVERYDAY.split()
    templates = (*CT_SENTENCES, *SLIDE_SENTENCES, *MAP_SENTENCES, *COMMON_SENTENCES)
    for position in range(count):
        yield _fill(templates[position % len(templates)], words, chance)


def _fill(template: str, words: list[str], chance: random.Random) -> str:
    """Replace each field, one at a time, so that a repeated field gets different words."""
    makers: dict[str, Callable[[], str]] = {
        "finding": lambda: chance.choice(CT_FINDINGS),
        "Finding": lambda: chance.choice(CT_FINDINGS).capitalize(),
        "place": lambda: chance.choice(CT_PLACES),
        "tissue": lambda: chance.choice(TISSUES),
        "diagnosis": lambda: chance.choice(DIAGNOSES),
        "Diagnosis": lambda: chance.choice(DIAGNOSES).capitalize(),
        "thing": lambda: chance.choice(OBJECTS),
        "scene": lambda: chance.choice(SCENES),
        "relation": lambda: chance.choice(RELATIONS),
        "word": lambda: chance.choice(words),
        "Word": lambda: chance.choice(words).capitalize(),
        "Yesno": lambda: chance.choice(("Yes", "No")),
        "digit": lambda: str(chance.randint(2, 9)),
        "size": lambda: str(chance.randint(3, 40)),
        "number": lambda: str(chance.randint(10, 400)),
        "hu": lambda: str(chance.randint(-900, 300)),
        "box": lambda: _box(chance),
    }
    for field, maker in makers.items():
        while f"{{{field}}}" in template:
            template = template.replace(f"{{{field}}}", maker(), 1)
    return template


def _box(chance: random.Random) -> str:
    """Spell a rotated box as FIT-RS does: centre and size in percent, angle in degrees."""
    numbers = "".join(f"<{chance.uniform(2, 98):.2f}>" for _ in range(4))
    return f"{{{numbers}|<{chance.randint(1, 90)}>}}"
