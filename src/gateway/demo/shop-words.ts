/** Words that the demo's rows are made of. Nobody of these exists; addresses and numbers are reserved for examples. */
export const FIRST_NAMES =
  'Ada Amara Anders Aylin Bao Beatriz Björn Carmen Chidi Clara Dario Deniz Elif Emma Farid Fatima Felix Freya Giulia Hana Hassan Ines Ivan Jasmin Jonas Julia Kenji Lars Leila Liam Lucía Malik Marta Mei Milan Nadia Noah Olga Oskar Paula Pedro Priya Quentin Rosa Samir Sofia Tariq Tove Viktor Yara Yusuf Zoe'.split(
    ' ',
  )
export const LAST_NAMES =
  'Abbas Adeyemi Almeida Andersson Bauer Becker Bianchi Castillo Chen Costa Dahl Demir Dubois Eriksen Fischer Fontaine García Greco Haddad Hansen Ito Ivanova Jansen Kaya Keller Khan Kowalski Larsen Lefèvre Lindqvist Lopez Marino Mbeki Meyer Moreau Nakamura Nguyen Novak Okafor Olsen Patel Petrov Quispe Ricci Rossi Sato Schmidt Silva Svensson Tanaka Vargas Weber Yilmaz Zhang'.split(
    ' ',
  )
export const PLACES = [
  ['Berlin', 'DE'],
  ['Lyon', 'FR'],
  ['Porto', 'PT'],
  ['Oslo', 'NO'],
  ['Turin', 'IT'],
  ['Graz', 'AT'],
  ['Ghent', 'BE'],
  ['Malmö', 'SE'],
  ['Seville', 'ES'],
  ['Kraków', 'PL'],
  ['Utrecht', 'NL'],
  ['Chicago', 'US'],
  ['Portland', 'US'],
  ['Toronto', 'CA'],
] as const

export const PRODUCTS: readonly (readonly [category: string, names: string, price: number])[] = [
  ['coffee', 'House Blend 250 g|Dark Roast 250 g|Decaf 250 g|Espresso 1 kg|Filter Roast 1 kg|Green Beans 1 kg', 14],
  ['tea', 'Earl Grey Tin|Sencha Tin|Rooibos Tin|Mint Leaves|Oolong Tin|Chai Mix', 11],
  ['grinders', 'Hand Grinder|Burr Grinder S|Burr Grinder L|Travel Grinder', 120],
  ['brewers', 'French Press|Pour-over Set|Moka Pot 3|Moka Pot 6|Cold Brew Jar|Syphon', 45],
  ['kettles', 'Gooseneck Kettle|Electric Kettle|Camping Kettle|Thermo Kettle', 69],
  ['cups', 'Espresso Cups (6)|Latte Mug|Enamel Mug|Travel Mug|Glass Cups (4)|Saucers (6)', 24],
  ['spares', 'Filter Papers (100)|Gasket Set|Burr Set|Descaler|Cleaning Brush|Water Filter', 9],
]

/** `{…}` is filled in; what is filled in is what masking has to find in free text. */
export const TICKETS: readonly (readonly [subject: string, body: string])[] = [
  [
    'Where is my parcel?',
    'Hello, order {order} has not arrived. Please write to {email} or call {phone}. Thanks, {name}',
  ],
  ['Charged twice', 'You charged my card {card} twice for order {order}. I want one of them back. {name}'],
  ['Change of address', 'I moved to {city}. My new e-mail address is {email}, the old one no longer works.'],
  ['Refund please', 'The grinder from order {order} is broken. Refund it to {card} (expires {expires}), please.'],
  ['Invoice', 'Could you send the invoice of order {order} to my accountant at {email}?'],
  ['Cannot log in', 'The password mail never comes. My account is {email}, my number is {phone}.'],
  [
    'Integration stopped working',
    'Since Monday our sync fails. We use the key {key} from the dashboard. Is it still valid?',
  ],
  ['Great coffee', 'No problem at all, I only wanted to say that the house blend is wonderful. {name}'],
  ['Wrong size of filters', 'The papers of order {order} do not fit the pour-over set. Which ones do I need?'],
  ['Delete my data', 'Please delete everything that you have on {email}. I will not order again.'],
]

export const KEY_SERVICES = ['payments', 'shipping', 'storage', 'source control', 'chat', 'mail', 'analytics'] as const
