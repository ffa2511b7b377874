/**
 * The native addon on Node 22.
 */
import { testLine } from "./suite.js";

testLine(22);
