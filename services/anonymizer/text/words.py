"""Words of Swedish and English that decide whether a word is taken for a name: short lists, reviewed like code."""

NICKNAMES: dict[str, tuple[str, ...]] = {
    "ankan": ("anna", "ann", "annika"),
    "annis": ("anna", "anneli"),
    "bettan": ("elisabet", "elisabeth"),
    "lisa": ("elisabet", "elisabeth"),
    "bosse": ("bo",),
    "berra": ("bertil", "bert"),
    "kalle": ("karl", "carl"),
    "lasse": ("lars",),
    "nisse": ("nils",),
    "olle": ("olof", "olov"),
    "pelle": ("per", "pär"),
    "micke": ("mikael", "michael", "mikaela"),
    "maggan": ("margareta", "margit"),
    "greta": ("margareta",),
    "kicki": ("kristina", "christina"),
    "stina": ("kristina", "christina"),
    "kickan": ("kristina", "christina"),
    "uffe": ("ulf",),
    "tobbe": ("tobias", "torbjörn"),
    "jocke": ("joakim",),
    "janne": ("jan",),
    "hasse": ("hans",),
    "gusten": ("gustav", "gustaf"),
    "gurra": ("gustav", "gustaf"),
    "frasse": ("frans", "fredrik"),
    "figge": ("fredrik",),
    "stickan": ("stig",),
    "sigge": ("sigvard", "sigurd"),
    "puttan": ("birgitta",),
    "gittan": ("birgitta",),
    "lotta": ("charlotta", "charlotte", "lieselotte"),
    "mia": ("maria",),
    "maja": ("maria", "margareta"),
    "vicke": ("viktor", "victor"),
    "ante": ("anders", "andreas"),
    "affe": ("alf", "alfred"),
    "roffe": ("rolf",),
    "robban": ("robert", "robin"),
    "danne": ("daniel",),
    "mackan": ("marcus", "markus"),
    "jompa": ("johan", "jonatan"),
    "bill": ("william",),
    "bob": ("robert",),
    "bobby": ("robert",),
    "liz": ("elizabeth", "elisabeth"),
    "beth": ("elizabeth", "elisabeth"),
    "kate": ("katherine", "catherine"),
    "mike": ("michael",),
    "tom": ("thomas", "tomas"),
    "tony": ("anthony", "anton"),
    "dave": ("david",),
    "sandy": ("alexandra", "alexander"),
    "alex": ("alexandra", "alexander"),
    "jim": ("james",),
    "jack": ("john",),
    "peggy": ("margaret",),
    "maggie": ("margaret",),
}

# Names that are words too, and words one letter away from names: with a small letter they are words.
COMMON = frozenset(
    "alm berg björk blad bo dag dahl ek falk frank frost gran hammar holm hägg jul kant kvist lind lo lund lång mark my nord nyman "
    "per rik rose ros rosen sand sjö sjöberg skog sol stark stig sten strand ström ström svan tall tor val vall vik viktor åker ö "
    "after again also always and april august best black brown bill but can could dear dont fine frank from good grace great "
    "green have hello hope joy june just kind king light long love mark may mercy more never next order other page please ray "
    "regards rich rob rose sir still sure thank thanks that there they thing think this those time very want was way well were what "
    "when where which white who why will with would young your "
    "mr mrs ms miss dr herr fru fröken kundtjänst kundservice kundtjänsten support helpdesk team hallå godmorgon goddag "
    "alla allt anders andra annan annat bara bland borde både dagar denna deras dessa detta efter eller enligt ett fast faktura finns "
    "fick från fått före genom ger gör göra hade hela hans hej hemma henne hoppas hos hur idag igen igår ingen innan inte kan kanske "
    "karta kommer kunde kunna kund lite lika länge med mellan men mina mitt mobil morgon mycket måste många nummer nytt när någon något nästa också "
    "ofta paket samma sedan senare senast sina sitt ska skall skulle snart som sover stort ställe tack tid till tills tjänst trots "
    "träffa under utan vad var varför varit vara vecka vem vid vill vilka vilken vår våra väldigt även åter över".split()
)

# Proper names that are nobody's: countries, towns, days, months, languages, what everybody has at home; without a genitive's s.
PLACES = frozenset(
    "sverige norge danmark finland island tyskland polen spanien italien frankrike england storbritannien usa europa eu norden thailand "
    "sweden norway denmark germany poland spain italy france britain europe ireland scotland america england turkey turkiet "
    "stockholm göteborg malmö uppsala västerå örebro linköping helsingborg jönköping norrköping lund umeå gävle borå eskilstuna "
    "halmstad växjö karlstad sundsvall östersund trollhättan luleå kalmar solna kista nacka gotland skåne norrland london oslo "
    "copenhagen köpenhamn helsingfor berlin pari stora lilla norra södra västra östra essingen "
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october "
    "november december swedish english danish finnish german french norwegian christma easter "
    "iphone samsung android apple google wifi wi-fi bluetooth internet swish bankid klarna visa mastercard facebook windows mac "
    "excel teams zoom spotify netflix".split()
)

_TITLES = ("herr", "fru", "fröken", "mr", "mrs", "ms", "miss", "dr")
_KIN = (
    "man",
    "fru",
    "sambo",
    "son",
    "dotter",
    "mamma",
    "pappa",
    "mor",
    "far",
    "bror",
    "syster",
    "chef",
    "granne",
    "kollega",
    "vän",
)
_KIN_EN = (
    "husband",
    "wife",
    "son",
    "daughter",
    "mother",
    "father",
    "brother",
    "sister",
    "boss",
    "neighbour",
    "partner",
    "colleague",
    "friend",
)
_GREETS = ("hej", "hello", "hi", "dear", "tjena", "kära")
_ENDS = ("hälsningar", "mvh", "vänligen", "regards", "sincerely", "cheers", "hälsar")
_SAYS = ("jag heter", "mitt namn", "my name is", "this is", "i am")

# After these, a word with a capital is a name whoever knows it.
INTRODUCES = (
    r"\bjag heter\b",
    r"\bmitt namn (?:är|är:)",
    r"\bmy name is\b",
    r"\bthis is\b(?= [A-ZÅÄÖ])",
    r"\bi am\b(?= [A-ZÅÄÖ][a-zåäö]+ [A-ZÅÄÖ])",
    rf"\b(?:{'|'.join(_ENDS)})\b[,:]?\s*",
    rf"\b(?:{'|'.join(_TITLES)})\b\.?",
    # Whoever's it is: my neighbour, her neighbour, Björn's neighbour.
    rf"\b(?:min|din|hans|hennes|vår|er|deras|\w+s) (?:{'|'.join(_KIN)})\b",
    rf"\b(?:my|your|his|her|our|their|\w+s) (?:{'|'.join(_KIN_EN)})\b",
    rf"(?:^|\n)\s*(?:{'|'.join(_GREETS)})\b",
)
# One of these is in every text in which one of those is.
INTRODUCING = (*_SAYS, *_ENDS, *_TITLES, *_KIN, *_KIN_EN, *_GREETS)
