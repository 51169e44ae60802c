"""Word lists of the German-English toy grammar, one entry a line.

Only what the rules in ``language.morphology`` cannot derive is written down; ``-`` stands for "by
the rule", ``_`` for a space inside a column.  Every entry has exactly one English rendering, so
that the German sentence determines the English one.
"""

# German, gender (w: weak declension, x: mass noun), German plural, English, irregular plural.
NOUNS = {
    "person": """
        Mann m Männer man men; Frau f Frauen woman women; Junge mw Jungen boy
        Mädchen n Mädchen girl; Kind n Kinder child children; Lehrer m Lehrer teacher
        Lehrerin f Lehrerinnen teacher; Arzt m Ärzte doctor; Ärztin f Ärztinnen doctor
        Nachbar mw Nachbarn neighbour; Nachbarin f Nachbarinnen neighbour
        Student mw Studenten student; Studentin f Studentinnen student; Schüler m Schüler pupil
        Schülerin f Schülerinnen pupil; Freund m Freunde friend; Bäcker m Bäcker baker
        Gärtner m Gärtner gardener; Köchin f Köchinnen cook; Polizist mw Polizisten policeman policemen
        Kellner m Kellner waiter; Kellnerin f Kellnerinnen waitress; Bauer mw Bauern farmer
        Künstler m Künstler artist; Künstlerin f Künstlerinnen artist; Musiker m Musiker musician
        Ingenieur m Ingenieure engineer; Richterin f Richterinnen judge; Anwalt m Anwälte lawyer
        Kollege mw Kollegen colleague; Kollegin f Kolleginnen colleague; Kunde mw Kunden customer
        Gast m Gäste guest; Tourist mw Touristen tourist; Direktor m Direktoren director
        Sekretärin f Sekretärinnen secretary; Krankenschwester f Krankenschwestern nurse
        Sängerin f Sängerinnen singer; Fischer m Fischer fisherman fishermen
        Soldat mw Soldaten soldier; Journalist mw Journalisten journalist; Pilot mw Piloten pilot
        Autorin f Autorinnen author; Professorin f Professorinnen professor
        Mechaniker m Mechaniker mechanic; Patient mw Patienten patient""",
    "kin": """
        Mutter f Mütter mother; Vater m Väter father; Bruder m Brüder brother
        Schwester f Schwestern sister; Onkel m Onkel uncle; Tante f Tanten aunt
        Großmutter f Großmütter grandmother; Großvater m Großväter grandfather
        Sohn m Söhne son; Tochter f Töchter daughter; Neffe mw Neffen nephew
        Nichte f Nichten niece""",
    "animal": """
        Hund m Hunde dog; Katze f Katzen cat; Pferd n Pferde horse; Vogel m Vögel bird
        Kuh f Kühe cow; Maus f Mäuse mouse mice; Schaf n Schafe sheep sheep; Bär mw Bären bear
        Affe mw Affen monkey; Elefant mw Elefanten elephant; Ziege f Ziegen goat
        Ente f Enten duck; Schwein n Schweine pig; Esel m Esel donkey; Fuchs m Füchse fox""",
    "book": """
        Buch n Bücher book; Zeitung f Zeitungen newspaper; Roman m Romane novel
        Zeitschrift f Zeitschriften magazine; Wörterbuch n Wörterbücher dictionary dictionaries""",
    "note": """
        Brief m Briefe letter; Bericht m Berichte report; Artikel m Artikel article
        Gedicht n Gedichte poem; Geschichte f Geschichten story; Nachricht f Nachrichten message
        Vertrag m Verträge contract; Aufsatz m Aufsätze essay""",
    "food": """
        Apfel m Äpfel apple; Ei n Eier egg; Kartoffel f Kartoffeln potato potatoes
        Tomate f Tomaten tomato tomatoes; Birne f Birnen pear; Wurst f Würste sausage
        Banane f Bananen banana; Zwiebel f Zwiebeln onion; Orange f Orangen orange
        Brot nx Brote bread; Käse mx Käse cheese; Reis mx Reise rice; Fleisch nx Fleische meat""",
    "dish": """
        Kuchen m Kuchen cake; Suppe f Suppen soup; Salat m Salate salad; Pizza f Pizzen pizza""",
    "drink": """
        Milch fx Milche milk; Wasser nx Wasser water; Kaffee mx Kaffees coffee; Tee mx Tees tea
        Bier nx Biere beer; Wein mx Weine wine; Saft mx Säfte juice""",
    "clothing": """
        Hemd n Hemden shirt; Kleid n Kleider dress; Mantel m Mäntel coat; Hut m Hüte hat
        Jacke f Jacken jacket; Rock m Röcke skirt; Pullover m Pullover sweater
        Schal m Schals scarf scarves; Mütze f Mützen cap""",
    "thing": """
        Tasche f Taschen bag; Koffer m Koffer suitcase; Schlüssel m Schlüssel key
        Bild n Bilder picture; Spiegel m Spiegel mirror; Vase f Vasen vase; Ball m Bälle ball
        Puppe f Puppen doll; Geschenk n Geschenke gift; Korb m Körbe basket; Kiste f Kisten box
        Flasche f Flaschen bottle; Teller m Teller plate; Tasse f Tassen cup
        Messer n Messer knife knives; Gabel f Gabeln fork; Löffel m Löffel spoon
        Regenschirm m Regenschirme umbrella""",
    "furniture": """
        Tisch m Tische table; Stuhl m Stühle chair; Bett n Betten bed; Sofa n Sofas sofa
        Schrank m Schränke cupboard; Regal n Regale shelf shelves; Teppich m Teppiche carpet""",
    "instrument": "Gitarre f Gitarren guitar; Klavier n Klaviere piano; Geige f Geigen violin",
    "vehicle": """
        Auto n Autos car; Fahrrad n Fahrräder bicycle; Lastwagen m Lastwagen truck
        Boot n Boote boat""",
    "device": """
        Lampe f Lampen lamp; Computer m Computer computer; Kamera f Kameras camera
        Fernseher m Fernseher television; Radio n Radios radio; Handy n Handys mobile_phone""",
    "plant": "Blume f Blumen flower; Rose f Rosen rose; Baum m Bäume tree",
    "opening": "Tür f Türen door; Fenster n Fenster window",
    "room": """
        Küche f Küchen kitchen; Zimmer n Zimmer room; Keller m Keller cellar
        Büro n Büros office; Werkstatt f Werkstätten workshop""",
    "place": """
        Park m Parks park; Garten m Gärten garden; Haus n Häuser house; Stadt f Städte city
        Dorf n Dörfer village; Schule f Schulen school; Restaurant n Restaurants restaurant
        Hotel n Hotels hotel; Museum n Museen museum; Kirche f Kirchen church churches
        Bibliothek f Bibliotheken library; Krankenhaus n Krankenhäuser hospital
        Wald m Wälder forest; Supermarkt m Supermärkte supermarket; Theater n Theater theatre
        Fabrik f Fabriken factory; Hafen m Häfen harbour; Universität f Universitäten university""",
}

# German infinitive (| after a separable prefix), changed stem of du/er, strong participle (+: with
# sein), English (~ before a particle that a pronoun object precedes), object kinds or nouns,
# preposition with its case (the English one is part of the verb), subject kinds.
# A leading * marks a state: no imperative, no time or place adverbial.
TRANSITIVE = """
    lesen lies gelesen read book,note; schreiben - geschrieben write note,Buch,Roman
    vor|lesen lies vorgelesen read~out book,note; übersetzen - übersetzt translate book,note
    unterschreiben - unterschrieben sign Vertrag,Brief,Bericht
    korrigieren - - correct note,Buch; kaufen - - buy book,food,clothing,thing,vehicle,device,furniture
    verkaufen - - sell book,food,clothing,thing,vehicle,device,furniture,instrument
    suchen - - look_for person,animal,thing,clothing,book,vehicle
    finden - gefunden find thing,clothing,book,note,animal
    sehen sieh gesehen see person,kin,animal,vehicle,place; *kennen - gekannt know person,kin,place,book
    besuchen - - visit person,kin,Museum,Stadt,Dorf,Schule,Kirche,Bibliothek
    an|rufen - angerufen call person,kin; ein|laden läd eingeladen invite person,kin
    ab|holen - - pick~up person,kin; mit|bringen - mitgebracht bring~along thing,book,dish,drink
    öffnen - - open opening,Koffer,Kiste,Brief,Flasche,Tasche
    schließen - geschlossen close opening,Koffer,Kiste,Schrank,Tasche,Buch
    ein|schalten - - switch~on device; aus|schalten - - switch~off device
    reparieren - - repair device,vehicle,furniture,opening,instrument
    waschen wäsch gewaschen wash clothing,vehicle,Teller,Tasse,Apfel
    putzen - - clean opening,room,Spiegel,vehicle; tragen träg getragen wear clothing
    an|ziehen - angezogen put~on clothing; aus|ziehen - ausgezogen take~off clothing
    an|probieren - - try~on clothing; essen iss gegessen eat food,dish
    trinken - getrunken drink drink; kochen - - cook Suppe,Reis,Fleisch,Kartoffel,Ei
    backen - gebacken bake Kuchen,Brot,Pizza; schneiden - geschnitten cut food,Kuchen,Pizza
    bestellen - - order dish,drink,book,furniture; bezahlen - - pay_for dish,drink,clothing,book
    probieren - - taste food,dish,drink; malen - - paint Bild,animal,plant,Haus,Kirche,Hafen
    zeichnen - - draw animal,plant,person,vehicle,Haus; verlieren - verloren lose Schlüssel,Tasche,clothing,Ball
    vergessen vergiss vergessen forget thing,clothing,Brief; *brauchen - - need thing,clothing,device,vehicle,book
    benutzen - - use device,vehicle,Messer,Gabel,Löffel,Wörterbuch; bauen - - build Haus,Boot,furniture,Schule
    *verstehen - verstanden understand person,note,book; füttern - - feed animal
    streicheln - - stroke animal; fangen fäng gefangen catch animal,Ball
    retten - - rescue person,animal; *lieben - - love kin,animal,drink,instrument
    begrüßen - - greet person,kin; fragen - - ask person,kin; beobachten - - watch person,animal
    fotografieren - - photograph person,animal,place,plant; mieten - - rent Haus,Auto,Boot,Zimmer,Büro
    auf|räumen - - tidy~up room,Schrank,Haus; an|schauen - - look_at Bild,book,vehicle,clothing
    mit|nehmen nimm mitgenommen take~along thing,book,clothing
    weg|werfen wirf weggeworfen throw~away thing,note,food,Zeitung; holen - - fetch thing,drink,furniture
    bekommen - bekommen receive note,thing; verstecken - - hide thing,Brief,Vertrag
    bewundern - - admire person,Bild,Haus,vehicle,plant; loben - - praise person,kin,dish
    stören - - disturb person,animal; umarmen - - hug kin,Freund,Kind
    pflanzen - - plant plant,Kartoffel,Tomate; gießen - gegossen water plant,Tomate
    verlassen verläss verlassen leave place,room; betreten betritt betreten enter place,room
    spielen - - play instrument; *haben - gehabt have thing,animal,vehicle,device,instrument,book
    *mögen - gemocht like person,animal,food,dish,drink; *besitzen - besessen own vehicle,Haus,animal,instrument
    auf|heben - aufgehoben lift~up thing,Kind,Katze; empfehlen empfiehl empfohlen recommend dish,book,Hotel,Restaurant
"""
DATIVE = """
    helfen hilf geholfen help person,kin; danken - - thank person,kin
    antworten - - answer person,kin; folgen - +gefolgt follow person,animal
    gratulieren - - congratulate person,kin; *vertrauen - - trust person,kin
    widersprechen widersprich widersprochen contradict person,kin; zu|hören - - listen_to person,kin
    zu|winken - - wave_to person,kin
"""
# The recipient follows the verb in English, or the object with "to" (English ends in "to").
DITRANSITIVE = """
    geben gib gegeben give thing,book,food; zeigen - - show book,note,thing,clothing,vehicle
    schicken - - send note,book,thing; leihen - geliehen lend thing,book,vehicle,clothing
    bringen - gebracht bring thing,dish,drink,book; erzählen - - tell Geschichte
    erklären - - explain_to note,Bild; an|bieten - angeboten offer dish,drink,food
    zurück|geben gib zurückgegeben return_to book,thing,vehicle
    beschreiben - beschrieben describe_to Bild,place,vehicle
    vor|stellen - - introduce_to person,kin
"""
PREPOSITIONAL = """
    warten - - wait_for person,kin auf:acc; sprechen sprich gesprochen speak_with person,kin mit:dat
    denken - gedacht think_of person,kin,place an:acc; lachen - - laugh_about note,Bild,clothing über:acc
    träumen - - dream_of place,animal,vehicle von:dat; spielen - - play_with animal,Ball,Puppe mit:dat
    =freuen - - look_forward_to note,Geschenk,Buch auf:acc; =erinnern - - remember person,place,note an:acc
    =kümmern - - take_care_of kin,animal,Kind,plant,Patient um:acc
    =beschweren - - complain_about person,dish,note,Hotel über:acc
    *wohnen - - live_with kin,Freund bei:dat; bitten - gebeten ask_for drink,dish,Schlüssel um:acc
    =treffen triff getroffen meet_with person,kin mit:dat; *=fürchten - - be_afraid_of animal vor:dat
    diskutieren - - argue_with person,kin mit:dat; *kommen - +gekommen come_from Stadt,Dorf,Wald,Hafen aus:dat
"""
INTRANSITIVE = """
    schlafen schläf geschlafen sleep - - person,kin,animal; arbeiten - - work; lachen - - laugh
    weinen - - cry; tanzen - - dance; singen - gesungen sing; schwimmen - +geschwommen swim - - person,kin,animal
    auf|stehen - +aufgestanden get_up; ein|schlafen schläf +eingeschlafen fall_asleep - - person,kin,animal
    auf|wachen - +aufgewacht wake_up - - person,kin,animal; frühstücken - - have_breakfast
    fern|sehen sieh ferngesehen watch_television; lächeln - - smile; rauchen - - smoke
"""
MOTION = """
    gehen - +gegangen go place,room; fahren fähr +gefahren drive place,city
    laufen läuf +gelaufen run place,room; reisen - +gereist travel city; fliegen - +geflogen fly city
    zurück|kehren - +zurückgekehrt return place,city; ziehen - +gezogen move city
    eilen - +geeilt hurry place,room
"""
STATIC = """
    *wohnen - - live; an|kommen - +angekommen arrive; übernachten - - spend_the_night
"""
PUT = """
    legen - - lay book,clothing,Schlüssel,Messer,note; stellen - - put thing,device,Vase
    verstecken - - hide thing,note,book
"""
LIE = """
    *liegen - gelegen lie - - book,clothing,Schlüssel,Messer,note,Katze,Hund
    *stehen - gestanden stand - - Vase,Koffer,Korb,Kiste,Flasche,device,furniture
    sitzen - gesessen sit - - person,kin,Katze
"""
# Verbs with a dass/ob clause (English conjunction last column) and with a zu infinitive.
CLAUSAL = """
    glauben - - believe; wissen - gewusst know; sagen - - say; hoffen - - hope; denken - gedacht think
    behaupten - - claim; bemerken - - notice
"""
CONTROL = """
    versuchen - - try; hoffen - - hope; planen - - plan; beschließen - beschlossen decide
    versprechen versprich versprochen promise; an|fangen fäng angefangen begin
    vergessen vergiss vergessen forget
"""

# German (declension stem after /), comparative, English, comparative (-: "more"), noun kinds.
ADJECTIVES = """
    alt älter old older person,animal,place,room,thing,furniture,vehicle,device,instrument,clothing,book,plant
    jung jünger young younger person,animal; klug klüger clever cleverer person,animal
    freundlich - friendly friendlier person; fleißig - diligent - person; faul - lazy lazier person,animal
    glücklich - happy happier person; traurig - sad sadder person; reich - rich richer person
    arm ärmer poor poorer person; stark stärker strong stronger person,animal
    schwach schwächer weak weaker person,animal; höflich - polite - person; berühmt - famous - person,book,place
    krank kränker sick sicker person,animal,kin; gesund gesünder healthy healthier person,animal,kin
    müde/müd müder tired - person,animal,kin; mutig - brave braver person,kin; ehrlich - honest - person
    geduldig - patient - person,kin; neugierig - curious - person,animal; schüchtern - shy shyer person
    dick - fat fatter animal; wild - wild wilder animal; gefährlich - dangerous - animal
    hungrig - hungry hungrier person,animal,kin; schnell - fast faster animal,vehicle
    neu - new newer place,thing,furniture,vehicle,device,instrument,clothing,book,opening
    groß größer big bigger place,room,animal,thing,furniture,vehicle,plant,opening,food,dish
    klein - small smaller place,room,animal,thing,furniture,vehicle,plant,opening,food,dish,device
    teuer/teur teurer expensive - clothing,furniture,vehicle,device,instrument,drink
    billig - cheap cheaper clothing,furniture,vehicle,device,instrument,drink
    schön - beautiful - place,clothing,plant,animal,instrument,room
    hässlich - ugly uglier clothing,furniture,thing,place,animal
    schwer - heavy heavier thing,furniture,device,instrument; leicht - light lighter thing,device
    rot röter red redder clothing,thing,vehicle,opening,plant; blau - blue bluer clothing,thing,vehicle,opening
    grün - green greener clothing,thing,furniture,vehicle,opening; gelb - yellow yellower clothing,thing,plant,vehicle
    weiß - white whiter clothing,animal,furniture,thing,plant
    schwarz schwärzer black blacker clothing,animal,furniture,vehicle
    braun - brown browner clothing,animal,furniture; sauber - clean cleaner clothing,room,vehicle,thing,opening
    schmutzig - dirty dirtier clothing,room,vehicle,thing,opening
    modern - modern - furniture,device,room,place; leer - empty emptier room,place
    dunkel/dunkl dunkler dark darker room,place; interessant - interesting - book,note
    langweilig - boring - book,note; spannend - exciting - book,note; lang länger long longer book,note,clothing
    kurz kürzer short shorter note,book,clothing; wichtig - important - note,book
    lustig - funny funnier note,book; frisch - fresh fresher food; kalt kälter cold colder drink,food,dish,room
    heiß - hot hotter dish; warm wärmer warm warmer clothing,drink,dish,room
    süß - sweet sweeter dish,drink; lecker - delicious - food,dish
    praktisch - useful - device,thing,furniture; nass nasser wet wetter clothing,animal
"""

IRREGULAR_PAST = dict(
    pair.split(":")
    for pair in """
    read:read write:wrote buy:bought sell:sold find:found see:saw know:knew bring:brought wear:wore
    put:put take:took eat:ate drink:drank cut:cut pay:paid draw:drew lose:lost forget:forgot build:built
    understand:understood feed:fed catch:caught throw:threw hide:hid leave:left have:had give:gave
    show:showed send:sent lend:lent tell:told speak:spoke think:thought dream:dreamed sleep:slept
    sing:sang swim:swam get:got fall:fell wake:woke go:went drive:drove run:ran fly:flew spend:spent
    lay:laid lie:lay stand:stood sit:sat say:said begin:began come:came meet:met cost:cost
    plan:planned hug:hugged travel:travelled
""".split()
)

WOMEN = "Anna Maria Julia Sophie Laura Eva Lena Emma Clara".split()
MEN = "Peter Paul Karl Martin Jan Daniel Tim Erik".split()
SURNAMES = "Müller Schmidt Weber Fischer Wagner Becker".split()
CITIES = """Berlin:Berlin München:Munich Wien:Vienna Köln:Cologne Hamburg:Hamburg Rom:Rome
    Paris:Paris London:London Italien:Italy Deutschland:Germany Österreich:Austria
    Frankreich:France Spanien:Spain""".split()

DAYS = """Montag:Monday Dienstag:Tuesday Mittwoch:Wednesday Donnerstag:Thursday Freitag:Friday
    Samstag:Saturday Sonntag:Sunday""".split()
MONTHS = """Januar:January Februar:February März:March April:April Mai:May Juni:June Juli:July
    August:August September:September Oktober:October November:November Dezember:December""".split()

# German:English adverbials by the tense that they go with; "mid" ones stand before the English verb.
ADVERBIALS = {
    "habit": """jeden_Tag:every_day jeden_Morgen:every_morning jeden_Abend:every_evening
        jede_Woche:every_week am_Wochenende:at_the_weekend im_Sommer:in_summer im_Winter:in_winter""",
    "mid": "oft:often immer:always manchmal:sometimes selten:rarely nie:never meistens:usually",
    "today": "heute:today",
    "past": """gestern:yesterday vorgestern:the_day_before_yesterday letzte_Woche:last_week
        letztes_Jahr:last_year gestern_Abend:yesterday_evening letzten_Monat:last_month""",
    "future": """morgen:tomorrow übermorgen:the_day_after_tomorrow nächste_Woche:next_week
        bald:soon heute_Abend:this_evening nächstes_Jahr:next_year""",
}
