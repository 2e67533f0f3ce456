//! The cart is a cookie: `manta.1_llavero.2`. The server stores nothing before the order.

use super::catalogue::Product;

pub(super) const COOKIE: &str = "nudo_cart";
/// The most of one product.
pub(super) const LARGEST_QUANTITY: u8 = 9;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) product: &'static Product,
    pub(super) quantity: u8,
}

impl Line {
    pub(super) fn total(&self) -> u64 {
        self.product.price * u64::from(self.quantity)
    }
}

/// At most one line for each product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cart {
    pub(super) lines: Vec<Line>,
}

impl Cart {
    /// A cookie is untrusted input: unreadable parts are dropped.
    pub(super) fn parse(cookie: &str) -> Self {
        let mut cart = Self::default();
        for (slug, quantity) in cookie.split('_').filter_map(|line| line.split_once('.')) {
            if let (Some(product), Ok(quantity)) = (Product::find(slug), quantity.parse()) {
                cart.set(product, quantity);
            }
        }
        cart
    }

    pub(super) fn quantity(&self, product: &Product) -> u8 {
        self.lines
            .iter()
            .find(|line| line.product == product)
            .map_or(0, |line| line.quantity)
    }

    pub(super) fn set(&mut self, product: &'static Product, quantity: u8) {
        let quantity = quantity.min(LARGEST_QUANTITY);
        match self.lines.iter_mut().find(|line| line.product == product) {
            Some(line) => line.quantity = quantity,
            None => self.lines.push(Line { product, quantity }),
        }
        self.lines.retain(|line| line.quantity > 0);
    }

    pub(super) fn pieces(&self) -> u32 {
        self.lines.iter().map(|line| u32::from(line.quantity)).sum()
    }

    pub(super) fn total(&self) -> u64 {
        self.lines.iter().map(Line::total).sum()
    }

    /// The value of a `Set-Cookie` header.
    pub(super) fn cookie(&self) -> String {
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| format!("{}.{}", line.product.slug, line.quantity))
            .collect();
        let lines = lines.join("_");
        format!("{COOKIE}={lines}; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cart_survives_its_cookie() {
        let cart = Cart::parse("manta.1_llavero.2");
        assert_eq!(cart.total(), 64_990 + 2 * 5_990);
        assert_eq!(cart.pieces(), 3);
        assert!(cart.cookie().starts_with("nudo_cart=manta.1_llavero.2;"));
    }

    #[test]
    fn a_forged_cookie_makes_no_forged_cart() {
        assert_eq!(
            Cart::parse("manta.0_nothing.3_faja.-1_chal_.._cojin.999").lines,
            []
        );
        assert_eq!(Cart::parse("cojin.200").pieces(), 9);
        assert_eq!(Cart::parse("cojin.1_cojin.2").pieces(), 2);
    }
}
