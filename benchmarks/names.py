"""Any number of made-up institutions: real parts of names combined by a fixed seed, each with aliases.

A row is (id, name, alias); an alias is initials, a short form, or a slip of the keyboard. The first n rows of a larger
table are the table of n rows.
"""

import csv
import random
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

# fmt: off
PLACES = (
    "Aberdeen", "Accra", "Adelaide", "Aleppo", "Alicante", "Amiens", "Ankara", "Antwerp", "Arequipa", "Asmara",
    "Atlanta", "Auckland", "Bamako", "Bandung", "Bangalore", "Barcelona", "Basel", "Belgrade", "Bergen", "Bilbao",
    "Bologna", "Bordeaux", "Boston", "Brisbane", "Bristol", "Brno", "Bucharest", "Budapest", "Cairo", "Calgary",
    "Cali", "Cardiff", "Casablanca", "Chennai", "Chicago", "Cologne", "Colombo", "Concepción", "Cork", "Cusco",
    "Dakar", "Dallas", "Danzig", "Debrecen", "Denver", "Dhaka", "Dijon", "Dresden", "Dublin", "Durban", "Edinburgh",
    "Essen", "Évora", "Fargo", "Fez", "Florence", "Fukuoka", "Galway", "Gdynia", "Geneva", "Ghent", "Girona",
    "Graz", "Grenoble", "Guadalajara", "Hamburg", "Hanoi", "Harare", "Havana", "Helsinki", "Hobart", "Houston",
    "Ibadan", "Innsbruck", "Izmir", "Jaipur", "Jakarta", "Jena", "Kampala", "Karachi", "Kaunas", "Kiel", "Kigali",
    "Kraków", "Kumasi", "Kyoto", "Lagos", "Lahore", "La Paz", "Leeds", "Leiden", "Leipzig", "León", "Liège",
    "Lille", "Lima", "Linz", "Lisbon", "Ljubljana", "Lomé", "Lublin", "Lyon", "Madison", "Málaga", "Malmö",
    "Manila", "Maribor", "Mendoza", "Mérida", "Milan", "Minsk", "Mombasa", "Monterrey", "Montpellier", "Munich",
    "Murcia", "Nairobi", "Nantes", "Naples", "Nice", "Odense", "Oporto", "Oran", "Osaka", "Oulu", "Oxford", "Padua",
    "Palermo", "Patras", "Perth", "Pisa", "Plovdiv", "Porto Alegre", "Poznań", "Prague", "Puebla", "Quito", "Rabat",
    "Recife", "Reims", "Rennes", "Riga", "Rosario", "Rouen", "Salamanca", "Salta", "Santiago", "Sapporo", "Seattle",
    "Seville", "Sofia", "Split", "Tampere", "Tartu", "Tbilisi", "Toledo", "Toronto", "Toulouse", "Trento",
    "Tucumán", "Tunis", "Turin", "Uppsala", "Utrecht", "Valencia", "Valparaíso", "Varna", "Vienna", "Vilnius",
    "Warsaw", "Windhoek", "Wrocław", "Yerevan", "York", "Zagreb", "Zaragoza", "Zürich",
)
PEOPLE = (
    "Adams", "Bauer", "Benítez", "Bianchi", "Campbell", "Castro", "Chen", "Cruz", "Delacroix", "Díaz", "Dubois",
    "Eriksen", "Fernández", "Fischer", "García", "Gauss", "Haddad", "Hansen", "Herrera", "Ibrahim", "Ivanov",
    "Jansen", "Johnson", "Kaplan", "Keller", "Khan", "Kim", "Kovács", "Kowalski", "Larsen", "Lefèvre", "Lindgren",
    "López", "Martín", "Mbeki", "Méndez", "Meyer", "Moreau", "Morales", "Müller", "Nakamura", "Nguyen", "Novák",
    "Okafor", "Olsen", "Ortega", "Patel", "Pereira", "Petrov", "Quispe", "Rahman", "Ramírez", "Rossi", "Sánchez",
    "Santos", "Schmidt", "Silva", "Singh", "Suzuki", "Tanaka", "Torres", "Vargas", "Weber", "Yamamoto", "Zhang",
)
FIELDS = (
    "Agriculture", "Anthropology", "Applied Sciences", "Archaeology", "Architecture", "Arts", "Astronomy",
    "Aviation", "Biology", "Botany", "Business", "Chemistry", "Commerce", "Criminology", "Dentistry", "Design",
    "Ecology", "Economics", "Education", "Electronics", "Energy", "Engineering", "Fisheries", "Forestry",
    "Genetics", "Geology", "Health Sciences", "History", "Hydrology", "Informatics", "Journalism", "Languages",
    "Law", "Linguistics", "Logistics", "Management", "Marine Science", "Mathematics", "Medicine", "Metallurgy",
    "Meteorology", "Mining", "Music", "Neuroscience", "Nursing", "Nutrition", "Optics", "Pharmacy", "Philosophy",
    "Physics", "Public Policy", "Robotics", "Seismology", "Social Work", "Sociology", "Statistics", "Theology",
    "Tourism", "Transport", "Veterinary Medicine",
)
KINDS = (
    "University of {field}, {place}", "{place} University of {field}", "{person} Institute of {field}, {place}",
    "Institute of {field} of {place}", "{place} College of {field}", "{person} School of {field}, {place}",
    "{person} Centre for {field}, {place}", "Laboratory of {field}, University of {place}",
    "Academy of {field} {person}, {place}", "National Museum of {field}, {place}",
    "{person} Foundation for {field}, {place}", "Hospital {person} of {place}, Department of {field}",
    "Universidad {person} de {place}, Facultad de {field}", "Hochschule {place}, Fachbereich {field} {person}",
)
# fmt: on
SMALL = frozenset({"of", "for", "de", "the"})


def initials(name: str) -> str:
    return "".join(word[0] for word in name.replace(",", "").split() if word.lower() not in SMALL)


def slip(name: str, draw: random.Random) -> str:
    at = draw.randrange(1, len(name) - 1)
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :]


def rows(n: int, seed: int = 0) -> Iterator[tuple[str, str, str]]:
    """Yield ``n`` rows (id, name, alias), two for each institution; names are distinct."""
    draw = random.Random(seed)
    seen: set[int] = set()
    for number in range((n + 1) // 2):
        while True:
            parts = (
                draw.choice(KINDS),
                draw.choice(PLACES),
                draw.choice(PEOPLE),
                draw.choice(FIELDS),
                draw.randrange(200),
            )
            kind, place, person, field, branch = parts
            name = kind.format(place=place, person=person, field=field)
            name = f"{name}, Campus {branch}" if branch > 4 else name
            if (key := int.from_bytes(blake2b(name.encode(), digest_size=8).digest())) not in seen:
                seen.add(key)
                break
        yield f"N{number}", name, initials(name) + (str(branch) if branch > 4 else "")
        if 2 * number + 1 < n:
            other = f"{place} {field} {person}" if draw.random() < 0.5 else slip(name, draw)
            yield f"N{number}", name, other


def write(path: Path, n: int, seed: int = 0) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "alias"])
        writer.writerows(rows(n, seed))
