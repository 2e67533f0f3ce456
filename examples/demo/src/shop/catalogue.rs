//! What the shop sells. Prices are whole Chilean pesos; a picture is `/assets/{slug}.svg`.

use super::language::Language;

/// A text in Spanish and in English.
pub(super) type Text = (&'static str, &'static str);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) slug: &'static str,
    pub(super) price: u64,
    pub(super) name: Text,
    pub(super) material: Text,
    pub(super) story: Text,
    pub(super) size: &'static str,
    pub(super) days: u8,
    /// The picture's alternative text.
    pub(super) picture: Text,
}

pub(super) static PRODUCTS: [Product; 6] = [
    Product {
        slug: "khipu",
        price: 89_900,
        name: ("Khipu de pared", "Wall khipu"),
        material: (
            "Algodón hilado a mano, tintes naturales",
            "Hand-spun cotton, natural dyes",
        ),
        story: (
            "Doce cordeles y una cuerda madre. Anudamos en ellos la fecha que tú elijas: un nacimiento, una boda, \
             el día en que abriste tu negocio. Los incas llevaban así sus cuentas, y nadie se las discutía.",
            "Twelve cords and a mother cord. We knot into them the date you choose: a birth, a wedding, the day you \
             opened your business. The Incas kept their accounts this way, and nobody disputed them.",
        ),
        size: "70 × 60 cm",
        days: 9,
        picture: (
            "Cordeles de colores con nudos que cuelgan de una cuerda",
            "Knotted cords of many colours hanging from a rope",
        ),
    },
    Product {
        slug: "manta",
        price: 64_990,
        name: ("Manta Inti", "Inti blanket"),
        material: (
            "Lana de oveja, telar de cintura",
            "Sheep's wool, backstrap loom",
        ),
        story: (
            "Franjas de cochinilla y añil con rombos escalonados, tejidas en una sola pieza. Abriga en el sofá y \
             alegra a los pies de la cama.",
            "Bands of cochineal and indigo with stepped diamonds, woven in one piece. Warm on the sofa, bright at \
             the foot of the bed.",
        ),
        size: "130 × 180 cm",
        days: 6,
        picture: (
            "Manta roja y azul con rombos escalonados",
            "Red and blue blanket with stepped diamonds",
        ),
    },
    Product {
        slug: "chal",
        price: 48_990,
        name: ("Chal Nevado", "Nevado shawl"),
        material: ("Alpaca sin teñir", "Undyed alpaca"),
        story: (
            "Los colores son los del animal: crema, vicuña y café. Pesa menos que un libro y cabe en cualquier bolso.",
            "The colours are the animal's own: cream, fawn and brown. Lighter than a book, it fits any bag.",
        ),
        size: "60 × 190 cm",
        days: 4,
        picture: (
            "Chal crema con franjas café, colgado de un listón",
            "Cream shawl with brown bands, hung from a rail",
        ),
    },
    Product {
        slug: "cojin",
        price: 26_990,
        name: ("Cojín Chakana", "Chakana cushion"),
        material: (
            "Lana y algodón, relleno de vellón",
            "Wool and cotton, fleece filling",
        ),
        story: (
            "La cruz escalonada que une el mundo de arriba con el de abajo, con cuatro borlas que los niños \
             invariablemente desarman.",
            "The stepped cross that joins the world above to the one below, with four tassels that children \
             invariably undo.",
        ),
        size: "45 × 45 cm",
        days: 3,
        picture: (
            "Cojín azul con una cruz escalonada roja y ocre",
            "Blue cushion with a stepped cross in red and ochre",
        ),
    },
    Product {
        slug: "faja",
        price: 18_990,
        name: ("Faja de camino", "Traveller's sash"),
        material: ("Algodón, urdimbre doble", "Cotton, double warp"),
        story: (
            "La que usaban los chasquis para no perder el mensaje. Hoy afirma pantalones, cámaras y guitarras.",
            "What the chasquis wore so as not to lose the message. Today it holds up trousers, cameras and guitars.",
        ),
        size: "6 × 200 cm",
        days: 2,
        picture: (
            "Tres fajas tejidas con rombos de colores",
            "Three woven sashes with coloured diamonds",
        ),
    },
    Product {
        slug: "llavero",
        price: 5_990,
        name: ("Llavero Nudo", "Knot key ring"),
        material: ("Cordel encerado y bronce", "Waxed cord and brass"),
        story: (
            "Seis vueltas, tres colores y una borla. Lo hacemos con los cabos que sobran, así que no hay dos iguales.",
            "Six turns, three colours and a tassel. We make it from leftover ends, so no two are alike.",
        ),
        size: "14 cm",
        days: 1,
        picture: (
            "Llavero trenzado rojo, ocre y azul con borla",
            "Plaited key ring in red, ochre and blue with a tassel",
        ),
    },
];

impl Product {
    pub(super) fn find(slug: &str) -> Option<&'static Self> {
        PRODUCTS.iter().find(|product| product.slug == slug)
    }
}

impl Language {
    pub(super) fn of(self, text: Text) -> &'static str {
        self.pick(text.0, text.1)
    }
}

/// `$64.990`, as it is written in Chile.
pub(super) fn pesos(amount: u64) -> String {
    let digits = amount.to_string();
    let mut written = String::from("$");
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            written.push('.');
        }
        written.push(digit);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pesos_are_grouped_by_thousands() {
        assert_eq!(pesos(0), "$0");
        assert_eq!(pesos(990), "$990");
        assert_eq!(pesos(64_990), "$64.990");
        assert_eq!(pesos(1_000_000), "$1.000.000");
    }
}
