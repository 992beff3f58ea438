/** Before live tests that bring servers of their own. */
import { buildProduct } from './build-product';

// Jest wants this hook as the module itself.
module.exports = buildProduct;
