use super::Backend;

impl Backend for burn_flex::Flex {}
