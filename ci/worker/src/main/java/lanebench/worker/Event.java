package lanebench.worker;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.cfg.CoercionAction;
import com.fasterxml.jackson.databind.cfg.CoercionInputShape;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.type.LogicalType;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** One payment-completed message, in the words of its JSON. */
record Event(String orderId, int revision, long amountMinor, String currency, String address, long paidAtMs) {
    private static final int ORDER_ID_MAX_BYTES = 64;

    /** Takes the JSON at its word: no number for a string, no fraction for a whole number, nothing missing or twice. */
    private static final ObjectReader READER = JsonMapper.builder()
        .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
        .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
        .enable(DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES)
        .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
        .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
        .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
        .withCoercionConfig(LogicalType.Textual, config -> config
            .setCoercion(CoercionInputShape.Integer, CoercionAction.Fail)
            .setCoercion(CoercionInputShape.Float, CoercionAction.Fail)
            .setCoercion(CoercionInputShape.Boolean, CoercionAction.Fail))
        .withCoercionConfig(LogicalType.Integer, config -> config
            .setCoercion(CoercionInputShape.Float, CoercionAction.Fail)
            .setCoercion(CoercionInputShape.String, CoercionAction.Fail)
            .setCoercion(CoercionInputShape.EmptyString, CoercionAction.Fail))
        .build()
        .readerFor(Event.class);

    static Event decode(byte[] value) throws Rejected {
        if (value == null) {
            throw new Rejected("the message has no value");
        }
        try {
            Event event = READER.readValue(value);
            if (event != null) {
                event.check();
                return event;
            }
            throw new Rejected("the value is not a payment event: null");
        } catch (JsonProcessingException wrong) {
            throw new Rejected("the value is not a payment event: " + wrong.getOriginalMessage());
        } catch (IOException wrong) {
            throw new Rejected("the value is not a payment event: " + wrong.getMessage());
        }
    }

    private void check() throws Rejected {
        int bytes = orderId.getBytes(StandardCharsets.UTF_8).length;
        if (bytes == 0 || bytes > ORDER_ID_MAX_BYTES || orderId.chars().anyMatch(Character::isISOControl)) {
            throw new Rejected("an order id has 1 to 64 bytes and no control characters; this one has " + bytes);
        }
        if (revision < 1) {
            throw new Rejected("revision " + revision + " is out of range: revisions start at 1");
        }
        if (!currency.matches("[A-Z]{3}")) {
            throw new Rejected("the currency is not an ISO 4217 code of three capital letters");
        }
        // JSON can escape half of a surrogate pair, which no UTF-8 holds; the driver would store a question mark.
        if (!StandardCharsets.UTF_8.newEncoder().canEncode(orderId + address)) {
            throw new Rejected("the order id or the address is not Unicode text");
        }
    }
}
